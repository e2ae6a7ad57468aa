"""Supervision: backoff, one recipe for every start, deaths at every moment. A scripted engine, no real waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from trivet.app.supervision.supervisor import Backoff, RestartSettings, Supervisor
from trivet.errors import AdapterRejected, BackendUnavailable

SETTINGS = RestartSettings(first_delay=1, max_delay=8, settled_after=1000, start_timeout=60)


class ScriptedEngine:
    """Dies when told; its next starts fail, hang or succeed as `script` says ("up" when it is used up)."""

    name = "scripted"

    def __init__(self, *script: str) -> None:
        self.script = list(script)
        self.starts = 0
        self.starting = 0
        self.up = False
        self._death: asyncio.Future[str] | None = None

    async def start(self) -> None:
        self.starts += 1
        outcome = self.script.pop(0) if self.script else "up"
        self.starting += 1
        try:
            if outcome == "hang":
                await asyncio.Event().wait()
            await asyncio.sleep(0)
        finally:
            self.starting -= 1
        if outcome == "fail":
            raise BackendUnavailable("out of memory")
        if outcome == "bug":
            raise ZeroDivisionError
        self.up, self._death = True, asyncio.get_running_loop().create_future()

    async def death(self) -> str:
        if self._death is None:
            raise BackendUnavailable("none runs")
        return await asyncio.shield(self._death)

    def die(self) -> None:
        assert self._death is not None
        self.up = False
        self._death.set_result("killed")


class House:
    """A supervised engine and what it was told. `prepare` is replaced by tests."""

    def __init__(self, *script: str, settings: RestartSettings = SETTINGS, turn: asyncio.Lock | None = None) -> None:
        self.engine = ScriptedEngine(*script)
        self.delays: list[float] = []
        self.restarts = 0
        self.changes = 0
        self.rounds = 0
        self.problems: list[Sequence[str]] = []
        self.prepare: Callable[[], None] = lambda: None
        self.supervisor = Supervisor(
            self.engine,
            settings,
            turn=turn or asyncio.Lock(),
            prepare=self._prepare,
            on_change=self._changed,
            on_restart=self._restarted,
            sleep=self._sleep,
            draw=lambda: 0.0,
        )

    async def _prepare(self) -> Sequence[str]:
        self.rounds += 1
        self.prepare()
        await asyncio.sleep(0)
        return self.problems.pop(0) if self.problems else ()

    async def _sleep(self, seconds: float) -> None:
        self.delays.append(seconds)
        await asyncio.sleep(0)

    def _changed(self) -> None:
        self.changes += 1

    def _restarted(self) -> None:
        self.restarts += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.supervisor.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


class TestBackoff:
    def test_doubles_to_its_limit_and_begins_anew(self) -> None:
        backoff = Backoff(SETTINGS, draw=lambda: 0.0)
        assert [backoff.next_delay() for _ in range(5)] == [1, 2, 4, 8, 8]
        backoff.reset()
        assert backoff.next_delay() == 1

    def test_a_random_part_of_up_to_half_is_left_out(self) -> None:
        draws = iter((0.0, 0.5, 1.0))
        backoff = Backoff(RestartSettings(first_delay=4, max_delay=4), draw=lambda: next(draws))
        assert [backoff.next_delay() for _ in range(3)] == [4, 3, 2]

    def test_does_not_overflow(self) -> None:
        assert Backoff(SETTINGS, attempts=100_000, draw=lambda: 0.0).next_delay() == 8


class TestFirstStart:
    async def test_tells_what_could_not_be_made_ready(self) -> None:
        house = House()
        house.problems = [["variant a/b is not ready"]]
        assert await house.supervisor.start() == ["variant a/b is not ready"]
        assert (house.engine.starts, house.restarts, house.changes) == (1, 0, 1)

    async def test_a_failure_is_raised(self) -> None:
        with pytest.raises(BackendUnavailable, match="out of memory"):
            await House("fail").supervisor.start()

    async def test_a_hang_ends_with_the_timeout(self) -> None:
        house = House("hang", settings=RestartSettings(start_timeout=0.01))
        with pytest.raises(BackendUnavailable, match=r"not up within 0\.01 s"):
            await house.supervisor.start()
        assert house.engine.starting == 0

    async def test_a_death_while_preparing_is_raised(self) -> None:
        house = House()
        house.prepare = house.engine.die
        with pytest.raises(BackendUnavailable, match="died: killed"):
            await house.supervisor.start()

    async def test_a_cancelled_one_leaves_no_start_under_way(self) -> None:
        house = House("hang")
        start = asyncio.create_task(house.supervisor.start())
        await until(lambda: house.engine.starting == 1)
        start.cancel()
        await asyncio.wait({start})
        assert start.cancelled()
        assert house.engine.starting == 0


class TestRestarts:
    async def test_each_death_is_followed_by_a_start_and_a_round_of_preparing(self) -> None:
        house = House()
        await house.supervisor.start()
        async with house.running():
            for times in (1, 2, 3):
                house.engine.die()
                await until(lambda times=times: house.rounds == times + 1 and house.engine.up)  # type: ignore[misc]
                assert house.restarts == times
        assert house.engine.starts == 4

    async def test_a_change_is_told_at_the_death_and_when_it_is_back(self) -> None:
        house = House()
        await house.supervisor.start()
        seen: list[tuple[bool, int]] = []
        house.supervisor._on_change = lambda: seen.append((house.engine.up, house.rounds))
        async with house.running():
            house.engine.die()
            await until(lambda: len(seen) == 2)
        assert seen == [(False, 1), (True, 2)]

    async def test_failures_are_tried_again_ever_more_slowly(self) -> None:
        house = House("up", "fail", "hang", "bug", "up", settings=RestartSettings(1, 8, 1000, start_timeout=0.01))
        await house.supervisor.start()
        async with house.running():
            house.engine.die()
            await until(lambda: house.engine.up)
            assert house.delays == [1, 2, 4, 8]
            assert house.restarts == 4
            assert house.engine.starting == 0

    async def test_short_lives_keep_the_waits_growing(self) -> None:
        house = House()
        await house.supervisor.start()
        async with house.running():
            for times in (1, 2, 3):
                house.engine.die()
                await until(lambda times=times: house.rounds == times + 1)  # type: ignore[misc]
        assert house.delays == [1, 2, 4]

    async def test_a_settled_life_begins_the_waits_anew(self) -> None:
        house = House(settings=RestartSettings(1, 8, settled_after=1e-9))
        await house.supervisor.start()
        async with house.running():
            for times in (1, 2, 3):
                await asyncio.sleep(0.01)
                house.engine.die()
                await until(lambda times=times: house.rounds == times + 1)  # type: ignore[misc]
        assert house.delays == [1, 1, 1]

    async def test_a_death_while_adapters_come_back_is_one_more_restart(self) -> None:
        house = House()
        await house.supervisor.start()
        deaths = 2

        def die_twice() -> None:
            nonlocal deaths
            if deaths:
                deaths -= 1
                house.engine.die()

        house.prepare = die_twice
        async with house.running():
            house.engine.die()
            await until(lambda: house.rounds == 4 and house.engine.up)
        assert (house.restarts, house.delays) == (3, [1, 2, 4])

    async def test_an_end_in_the_midst_of_a_start_leaves_none_under_way(self) -> None:
        house = House("up", "hang")
        await house.supervisor.start()
        async with house.running():
            house.engine.die()
            await until(lambda: house.engine.starting == 1)
        assert house.engine.starting == 0


class TestPreparing:
    async def test_what_is_not_ready_is_tried_again_until_it_is(self) -> None:
        house = House()
        house.problems = [["a", "b"], ["b"], ["b"], []]
        await house.supervisor.start()
        async with house.running():
            await until(lambda: house.rounds == 4)
            for _ in range(20):
                await asyncio.sleep(0)
            assert (house.rounds, house.delays, house.restarts) == (4, [1, 2, 4], 0)
            assert house.changes == 4

    async def test_after_a_restart_it_is_tried_again_too(self) -> None:
        house = House()
        house.problems = [[], ["a"], []]
        await house.supervisor.start()
        async with house.running():
            house.engine.die()
            await until(lambda: house.rounds == 3)

    async def test_a_death_ends_the_trying(self) -> None:
        house = House("up", "hang")
        house.problems = [["a"]] * 100
        await house.supervisor.start()
        async with house.running():
            await until(lambda: house.rounds >= 3)
            house.engine.die()
            await until(lambda: house.engine.starting == 1)
            rounds = house.rounds
            for _ in range(20):
                await asyncio.sleep(0)
            assert house.rounds == rounds

    @pytest.mark.parametrize("error", [AdapterRejected("tensor x is missing"), ZeroDivisionError("bug")])
    async def test_an_error_is_a_problem_not_an_end(self, error: Exception) -> None:
        house = House()

        def fail_once() -> None:
            if house.rounds == 1:
                raise error

        house.prepare = fail_once
        assert len(await house.supervisor.start()) == 1
        async with house.running():
            await until(lambda: house.rounds == 2)


async def test_engines_start_one_after_another() -> None:
    turn = asyncio.Lock()
    first, second = House("hang", turn=turn), House(turn=turn)
    starting = asyncio.create_task(first.supervisor.start())
    await until(lambda: first.engine.starting == 1)
    waiting = asyncio.create_task(second.supervisor.start())
    for _ in range(20):
        await asyncio.sleep(0)
    assert second.engine.starts == 0
    starting.cancel()
    await waiting
    assert second.engine.up
