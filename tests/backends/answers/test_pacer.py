"""Messages are as far apart as many streams make them, and streams come into step."""

from __future__ import annotations

import asyncio
import time

import pytest

from trivet.app.event_loop import EventLoop
from trivet.backends.answers.pacer import MANY, Pacer

LONGEST = 0.08


class Waiting:
    def __init__(self, delivered_at: float) -> None:
        self.delivered_at = delivered_at
        self.woken: float | None = None

    def wake(self) -> None:
        self.woken = asyncio.get_running_loop().time()


def test_who_is_alone_never_waits_and_many_wait_as_long_as_they_may() -> None:
    pacer = Pacer()
    waits = []
    for _ in range(MANY + 2):
        pacer.enter()
        waits.append(pacer.wait(LONGEST))
    assert waits[0] == 0
    assert waits == sorted(waits)
    assert waits[MANY - 2] < waits[MANY - 1] == waits[MANY] == LONGEST
    for _ in range(MANY + 1):
        pacer.leave(Waiting(0.0))
    assert pacer.wait(LONGEST) == 0


async def test_who_is_due_soon_goes_along_and_who_is_not_does_not() -> None:
    pacer, now = Pacer(), asyncio.get_running_loop().time()
    first, soon, later = Waiting(now), Waiting(now + 0.4 * LONGEST), Waiting(now + 0.9 * LONGEST)
    for one in (later, soon, first):
        pacer.later(one, one.delivered_at + LONGEST)

    async def leave(one: Waiting) -> None:
        while one.woken is None:
            await asyncio.sleep(0.001)
        pacer.forget(one)

    async with asyncio.timeout(60):
        await asyncio.gather(*map(leave, (first, soon, later)))
    assert first.woken is not None
    assert soon.woken is not None
    assert later.woken is not None
    assert first.woken == pytest.approx(soon.woken, abs=0.005)
    assert now + 0.99 * LONGEST <= first.woken < later.woken


async def test_who_left_is_not_woken() -> None:
    pacer, now = Pacer(), asyncio.get_running_loop().time()
    gone, stays = Waiting(now), Waiting(now)
    for one in (gone, stays):
        pacer.enter()
        pacer.later(one, now + 0.02)
    pacer.leave(gone)
    started = time.monotonic()
    while stays.woken is None and time.monotonic() - started < 5:
        await asyncio.sleep(0.002)
    assert stays.woken is not None
    assert gone.woken is None


def test_it_runs_on_the_loop_of_servers_also_for_what_is_late_already() -> None:
    async def run() -> None:
        pacer, now = Pacer(), asyncio.get_running_loop().time()
        late, early = Waiting(now - 1), Waiting(now - 2)
        pacer.later(late, now - 0.5)
        pacer.later(early, now - 1)
        async with asyncio.timeout(60):
            while late.woken is None or early.woken is None:
                await asyncio.sleep(0.001)
                for one in (late, early):
                    if one.woken is not None:
                        pacer.forget(one)

    with asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(run())
