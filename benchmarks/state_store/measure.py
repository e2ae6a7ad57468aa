"""What is measured on one state store. Times in seconds."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from trivet.rollouts.control.batches import StepReport, pack
from trivet.rollouts.observation import Observation, Outcome
from trivet.stores.state import StateStore
from trivet.types.rollout import Arm
from trivet.types.rollout_state import Move, ObservationBatch

FLUSHES = (10, 100, 1000)
_MOVE = Move("advance", "canary", 0, 0.05, "passed", "Moved on.", "benchmark", '{"z": 1.5}' * 200)


@dataclass(frozen=True, slots=True)
class Measured:
    """`transitions`: how long each took; `told`: until another gateway's store was told, from the call on.

    `flushes`: by number of observations, how long each flush took; `bytes`: how large its row is. `rate_one` and
    `rate_four`: transitions per second by one writer, and by four on routes of their own.
    """

    transitions: Sequence[float]
    told: Sequence[float]
    flushes: dict[int, Sequence[float]]
    bytes: dict[int, int]
    rate_one: float
    rate_four: float


async def measure(store: StateStore, other: StateStore, rounds: int, seconds: float) -> Measured:
    """`other`: another gateway's, or the same where there is only one."""
    transitions, told = await _told(store, other, rounds)
    flushes: dict[int, Sequence[float]] = {}
    sizes = {}
    for count in FLUSHES:
        sizes[count], flushes[count] = await _flush(store, count, rounds)
    one = await _transitions("one", store, seconds)
    four = await asyncio.gather(*[_transitions(f"four{number}", store, seconds) for number in range(4)])
    return Measured(transitions, told, flushes, sizes, one, sum(four))


async def _told(store: StateStore, other: StateStore, rounds: int) -> tuple[list[float], list[float]]:
    record = await store.create("told", "d", "{}", actor="benchmark", reason="measured")
    took, told = [], []
    arrived: asyncio.Queue[float] = asyncio.Queue()

    async def listen() -> None:
        async for _ in other.hints():
            arrived.put_nowait(time.perf_counter())

    listening = asyncio.create_task(listen())
    await asyncio.sleep(1)
    for _ in range(rounds):
        while not arrived.empty():
            arrived.get_nowait()
        begin = time.perf_counter()
        record = await store.move(record.id, record.revision, _MOVE)
        took.append(time.perf_counter() - begin)
        told.append(await asyncio.wait_for(arrived.get(), 30) - begin)
        await asyncio.sleep(0.01)
    listening.cancel()
    return took, told


async def _flush(store: StateStore, count: int, rounds: int) -> tuple[int, list[float]]:
    record = await store.create(f"flush{count}", "d", "{}", actor="benchmark", reason="measured")
    took, size = [], 0
    for seq in range(rounds):
        data = pack(StepReport([_observation(number) for number in range(count)]), 1.0)
        size = len(data)
        begin = time.perf_counter()
        await store.append([ObservationBatch(record.id, 0, "gateway", f"epoch{count}", seq, data)])
        took.append(time.perf_counter() - begin)
    return size, took


async def _transitions(route: str, store: StateStore, seconds: float) -> float:
    """Per second, one after the other."""
    record = await store.create(route, "d", "{}", actor="benchmark", reason="measured")
    begin, made = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        record = await store.move(record.id, record.revision, _MOVE)
        made += 1
    return made / (time.perf_counter() - begin)


def _observation(number: int) -> Observation:
    """As of a request that was answered."""
    draw = random.Random(number)
    return Observation(
        request_id=f"{draw.getrandbits(128):032x}", arm=draw.choice([Arm.STABLE, Arm.CANDIDATE]), step=0,
        at=draw.random(), outcome=Outcome.ANSWERED, unit=f"{draw.getrandbits(64):016x}",
        text=f"{draw.getrandbits(64):016x}", ttft_ms=draw.uniform(50, 500), total_ms=draw.uniform(500, 5000),
        cost_nano_usd=draw.randrange(1_000_000), format_valid=True,
    )  # fmt: skip
