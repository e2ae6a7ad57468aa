"""A sign of life that comes, comes late, never comes, or fails; on the real engine: test_death.py."""

from __future__ import annotations

import asyncio

import pytest

from trivet.backends.engine.hang_watch import HangWatch

SECONDS = 0.2


class Engine:
    """Answers after so many seconds, or with an error."""

    def __init__(self, seconds: float = 0.0, problem: Exception | None = None) -> None:
        self.seconds = seconds
        self.problem = problem
        self.asked = 0
        self.given_up = 0
        self.hung: list[str] = []

    async def sign_of_life(self) -> bool:
        self.asked += 1
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        if self.problem is not None:
            raise self.problem
        return True

    def watch(self) -> HangWatch:
        return HangWatch(self.sign_of_life, SECONDS, self.hung.append)


@pytest.mark.parametrize("seconds", [0.0, SECONDS / 4])
async def test_who_answers_is_asked_again(seconds: float) -> None:
    engine = Engine(seconds)
    watch = engine.watch()
    while engine.asked < 5:
        await asyncio.sleep(0.01)
    watch.close()
    assert engine.hung == []


async def test_who_never_answers_hangs_and_is_told_once() -> None:
    engine = Engine(3600.0)
    watch = engine.watch()
    while not engine.hung:
        await asyncio.sleep(0.01)
    await asyncio.sleep(3 * SECONDS)
    watch.close()
    assert engine.hung == ["it gave no sign of life for 0.2 s"]
    assert (engine.asked, engine.given_up) == (1, 1)


async def test_who_fails_has_died_which_others_see() -> None:
    engine = Engine(problem=RuntimeError("dead"))
    watch = engine.watch()
    await asyncio.sleep(3 * SECONDS)
    watch.close()
    assert (engine.asked, engine.hung) == (1, [])


async def test_closed_it_asks_no_more() -> None:
    engine = Engine(3600.0)
    watch = engine.watch()
    while not engine.asked:
        await asyncio.sleep(0.01)
    watch.close()
    await asyncio.sleep(3 * SECONDS)
    assert (engine.asked, engine.given_up, engine.hung) == (1, 1, [])
