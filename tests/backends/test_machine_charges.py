"""What requests are charged of a real engine's machine. An engine of its own: it tells of its steps, and is killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.support.engine.fixtures import SESSION_ENGINE, collect, idle, request, tiny_settings
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.metering.machine.machine_time import HOUR, SECOND, MachineTime
from trivet.types.generation import MachineAccount, MachineCharge

pytestmark = SESSION_ENGINE
RATE = 2_500_000_000  # $2.50 an hour


class Metered:
    """An engine, its machine's time, and what was charged."""

    def __init__(self, engine: EmbeddedVllm, machine: MachineTime, began: int) -> None:
        self.engine = engine
        self.machine = machine
        self.began = began
        self.charges: dict[str, MachineCharge] = {}

    async def ask(
        self, name: str, tokens: int, timeout: float | None = None, account: MachineAccount = MachineAccount.REQUESTS
    ) -> None:
        draws = random.Random(name)
        prompt = [draws.randrange(5, 200) for _ in range(draws.randrange(20, 700))]

        def charged(charge: MachineCharge) -> None:
            assert name not in self.charges
            self.charges[name] = charge

        wanted = request(prompt, max_tokens=tokens, on_charge=charged, account=account)
        async with asyncio.timeout(timeout):
            await collect(self.engine, wanted)

    def whole(self) -> None:
        """The invariant, to the nanosecond and the nano-dollar."""
        now = time.monotonic_ns()
        self.machine.advance(now)
        booked = sum(self.machine.nanoseconds.values())
        assert booked + self.machine.in_progress == now - self.began
        assert sum(self.machine.nano_usd.values()) == RATE * booked // HOUR


@pytest_asyncio.fixture(loop_scope="session")
async def metered(tiny_model: Path, tmp_path: Path) -> AsyncIterator[Metered]:
    began = time.monotonic_ns()
    machine = MachineTime(RATE, 100, began)
    engine = EmbeddedVllm(tiny_settings(tiny_model, tmp_path, count_steps=True, max_loras=0), meter=machine)
    await engine.start()
    yield Metered(engine, machine, began)
    await engine.close()


async def test_receipts_and_all_other_accounts_are_the_machines_time(metered: Metered) -> None:
    """Answers, copies, primings, what is cancelled and what expires; then the engine dies and comes back."""
    machine = metered.machine
    metered.whole()
    assert machine.nanoseconds[MachineAccount.STARTING] > 0
    accounts = (MachineAccount.REQUESTS, MachineAccount.SHADOW, MachineAccount.WARMUP)
    answered = [metered.ask(f"answered-{number}", 5 + number, account=accounts[number % 3]) for number in range(30)]
    expired = [metered.ask(f"expired-{number}", 200, timeout=0.02 * number) for number in range(20)]
    results = await asyncio.gather(*answered, *expired, return_exceptions=True)
    assert results[:30] == [None] * 30
    assert await idle(metered.engine, 10)
    metered.whole()
    assert machine.in_progress == 0
    assert {f"answered-{number}" for number in range(30)} <= metered.charges.keys()
    for name, charge in metered.charges.items():  # what expired at its first token has no decode
        assert charge.prefill > 0, name
        assert charge.decode > 0 or name.startswith("expired"), name
    charged = sum(charge.prefill + charge.decode for charge in metered.charges.values())
    assert charged == sum(machine.nano_usd[account] for account in accounts)
    assert all(machine.nano_usd[account] > 0 for account in accounts)
    busy = sum(machine.nanoseconds[account] for account in (*accounts, MachineAccount.UNATTRIBUTED))
    assert machine.nanoseconds[MachineAccount.UNATTRIBUTED] < busy / 2

    streams = [asyncio.create_task(metered.ask(f"killed-{number}", 900)) for number in range(4)]
    await asyncio.sleep(0.3)
    os.kill(metered.engine.process_ids[0], signal.SIGKILL)
    await asyncio.wait(streams)
    metered.whole()
    assert machine.in_progress == 0
    down = machine.nanoseconds[MachineAccount.DOWN]
    await asyncio.sleep(0.05)
    metered.whole()
    assert machine.nanoseconds[MachineAccount.DOWN] - down >= 50_000_000
    await metered.engine.start()
    await metered.ask("again", 5)
    metered.whole()
    assert metered.charges["again"].decode > 0


async def test_a_reader_that_is_slow_is_not_charged_for_it(metered: Metered) -> None:
    charges: list[MachineCharge] = []
    chunks = metered.engine.generate(request(range(10, 60), max_tokens=4, on_charge=charges.append))
    await anext(chunks)
    assert await idle(metered.engine, 10)
    before = metered.machine.nanoseconds[MachineAccount.IDLE]
    await asyncio.sleep(0.5)
    metered.whole()
    assert metered.machine.nanoseconds[MachineAccount.IDLE] - before >= 400_000_000
    async for _ in chunks:
        pass
    assert len(charges) == 1
    metered.whole()
    assert metered.machine.in_progress == 0


async def test_steps_are_learnt_from_while_the_engine_is_at_work(metered: Metered) -> None:
    """A tiny model's steps cost the same whatever they compute, so that a weight is no matter of course; what they are
    fitted to is what the engine computed."""

    async def client(name: str) -> None:
        for number in range(8):
            await metered.ask(f"{name}-{number}", 2 + number)

    await asyncio.gather(*map(client, "abcd"))
    steps = list(metered.machine._fit._steps)
    assert len(steps) > 8 * 3  # of some 44 and more
    prompts, outputs, seconds = (sum(part) for part in zip(*steps, strict=True))
    assert 0 < prompts <= 32 * 700
    assert 0 < outputs <= 4 * sum(1 + number for number in range(8))
    assert 0 < seconds * SECOND <= metered.machine.nanoseconds[MachineAccount.REQUESTS]
    assert {charge.prompt_weight for charge in metered.charges.values()} == {0.1}
    metered.whole()
