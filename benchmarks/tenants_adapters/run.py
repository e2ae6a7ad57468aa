"""One run: the answers of each adapter alone, Zipf traffic over all tenants with a killed engine, and two tenants."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from benchmarks.measuring.servers import TrivetServer, process_groups
from benchmarks.measuring.wire import INFERENCE
from benchmarks.tenants_adapters.world import HEAVY, HEAVY_ADAPTERS, LIGHT, LIGHT_ADAPTERS, make, tenant
from trivet.api.v1 import inference_pb2

QUESTIONS = ("What is there to know?", "And what else?")
ZIPF = 1.1
LOOPS, HEAVY_LOOPS = 12, 8
REST = 0.05
RECOVERY = 180.0  # seconds that a killed engine may take to answer again


@dataclass
class Found:
    """Milliseconds, of requests and of those that waited for their adapter, and what went wrong."""

    answers: int = 0
    wrong: list[str] = field(default_factory=list)
    tenants: set[str] = field(default_factory=set)
    cold: list[float] = field(default_factory=list)
    cold_total: list[float] = field(default_factory=list)
    warm_total: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    away: float = 0.0  # seconds from the engine's end to the first answer after it
    failed_away: Counter[str] = field(default_factory=Counter)  # meanwhile; not in `failed`
    answered: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Results:
    """`light`: the tenant that loads seldom, by what it asks for and whether it is beside the heavy one."""

    alone: int
    distinct: int
    traffic: Found
    light: dict[tuple[str, bool], Found]
    heavy: Found

    @property
    def wrong(self) -> list[str]:
        """Every wrong answer, in words."""
        return [*self.traffic.wrong, *self.heavy.wrong, *(one for found in self.light.values() for one in found.wrong)]


class Caller:
    """Asks, and holds each answer against the adapter's own."""

    def __init__(self, channel: grpc.aio.Channel, digests: dict[str, str], alone: dict[tuple[str, str], str]) -> None:
        self._ask: Any = channel.unary_unary(
            f"/{INFERENCE}/Generate",
            request_serializer=inference_pb2.GenerateRequest.SerializeToString,
            response_deserializer=inference_pb2.GenerateResponse.FromString,
        )
        self._digests = digests
        self._alone = alone

    async def answer(self, route: str, question: str, key: str = "", adapter: str = "") -> Any:
        message = inference_pb2.Message(role="user", content=question)
        request = inference_pb2.GenerateRequest(route=route, messages=[message], adapter=adapter)
        metadata = [("authorization", f"Bearer {key}")] if key else []
        return await self._ask(request, metadata=metadata, timeout=120)

    async def ask(self, found: Found, key: str, question: str, version: str = "") -> None:
        """One request of a tenant, by tenant or (with a version) by name."""
        ref, begun = f"{key}@{version or 1}", time.perf_counter()
        route, adapter = ("named", ref) if version else ("own", "")
        try:
            answer = await self.answer(route, question, key, adapter)
        except grpc.aio.AioRpcError as error:
            found.failed[error.code().name] += 1
            await asyncio.sleep(0.2)
            return
        took, receipt = (time.perf_counter() - begun) * 1000, answer.receipt
        found.answers += 1
        found.answered.set()
        found.tenants.add(key)
        expected = self._alone.get((ref, question), answer.text)
        if (receipt.adapter, receipt.adapter_digest, answer.text) != (ref, self._digests[ref], expected):
            found.wrong.append(f"{ref}: {receipt.adapter} {answer.text!r}, expected {expected!r}")
        if receipt.cold and receipt.adapter_wait_ms:
            found.cold.append(receipt.adapter_wait_ms)
            found.cold_total.append(took)
        else:
            found.warm_total.append(took)


def measure(folder: Path, tenants: int, seconds: float) -> Results:
    """All of it."""
    chosen, fixed, digests = make(folder, tenants)
    with TrivetServer(fixed) as server:
        alone = asyncio.run(_alone(server.target.address, digests, tenants))
    with TrivetServer(chosen) as server:
        engine = process_groups(server.pid)["engine"]
        return asyncio.run(_measure(server.target.address, engine, digests, alone, tenants, seconds))


async def _alone(address: str, digests: dict[str, str], tenants: int) -> dict[tuple[str, str], str]:
    """One request at a time, to a route whose only adapter it is."""
    found = {}
    async with grpc.aio.insecure_channel(address) as channel:
        caller = Caller(channel, digests, {})
        for number in range(tenants):
            for question in QUESTIONS:
                name = tenant(number)
                found[f"{name}@1", question] = (await caller.answer(name, question)).text
    return found


async def _measure(
    address: str,
    engine: list[int],
    digests: dict[str, str],
    alone: dict[tuple[str, str], str],
    tenants: int,
    seconds: float,
) -> Results:
    async with grpc.aio.insecure_channel(address) as channel:
        caller = Caller(channel, digests, alone)
        traffic = await _traffic(caller, engine, tenants, seconds)
        light, heavy = {}, Found()
        for beside in (False, True):
            until = time.monotonic() + seconds / 2
            loops = [
                asyncio.create_task(_walk(caller, heavy, number)) for number in range(HEAVY_LOOPS if beside else 0)
            ]
            for kind in ("warm", "cold"):
                light[kind, beside] = found = Found()
                await _light(caller, found, kind, until)
                until += seconds / 2
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
        return Results(len(alone), len(set(alone.values())), traffic, light, heavy)


async def _traffic(caller: Caller, engine: list[int], tenants: int, seconds: float) -> Found:
    """Closed loops; each request is of a tenant drawn by Zipf's law. Half-way the engine is killed (SIGKILL), and the
    second half begins when it answers again."""
    found, chance, begun, over = Found(), random.Random(3), time.monotonic(), asyncio.Event()
    weights = [1 / (rank + 1) ** ZIPF for rank in range(tenants)]

    async def loop() -> None:
        while not over.is_set():
            (number,) = chance.choices(range(tenants), weights)
            await caller.ask(found, tenant(number), chance.choice(QUESTIONS))

    loops = [asyncio.create_task(loop()) for _ in range(LOOPS)]
    await asyncio.sleep(seconds / 2)
    await _killed(found, engine)
    await asyncio.sleep(seconds / 2)
    over.set()
    await asyncio.gather(*loops)
    found.seconds = time.monotonic() - begun
    return found


async def _killed(found: Found, engine: list[int]) -> None:
    """Kill the engine and wait for the next answer. Raises TimeoutError."""
    killed, failed = time.monotonic(), found.failed.copy()
    for pid in engine:
        os.kill(pid, signal.SIGKILL)
    found.answered.clear()
    await asyncio.wait_for(found.answered.wait(), RECOVERY)
    found.away, found.failed_away, found.failed = time.monotonic() - killed, found.failed - failed, failed


async def _walk(caller: Caller, found: Found, first: int) -> None:
    """The heavy tenant: one adapter after the other, each cold again by then."""
    number = first * HEAVY_ADAPTERS // HEAVY_LOOPS
    while True:
        await caller.ask(found, HEAVY, QUESTIONS[0], str(number % HEAVY_ADAPTERS))
        number += 1


async def _light(caller: Caller, found: Found, kind: str, until: float) -> None:
    """The other one: the same adapter again and again, or each time one that was not used for long."""
    version: Callable[[int], int] = (lambda _: 0) if kind == "warm" else (lambda number: number % LIGHT_ADAPTERS)
    number = 0
    while time.monotonic() < until:
        await caller.ask(found, LIGHT, QUESTIONS[0], str(version(number)))
        number += 1
        await asyncio.sleep(REST)
