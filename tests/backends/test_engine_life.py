"""Starts and ends of engines that are cancelled half-way: no engine is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trivet.backends import engine_start
from trivet.backends.engine.engine_metrics import EngineMetrics
from trivet.backends.engine_life import EngineLife, EngineState
from trivet.backends.vllm_settings import EmbeddedSettings


class Engine:
    """The part of `VllmEngine` that its life needs."""

    def __init__(self) -> None:
        self.alive = True
        self.stopped = False
        self.death: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def warm_up(self) -> None:
        pass

    async def answer_parsers(self, reasoning: str | None, tools: str | None) -> None:
        pass

    async def stop(self) -> None:
        await asyncio.sleep(0.01)
        self.stopped = True


class Trials:
    async def close(self) -> None:
        await asyncio.sleep(0.01)


class Starts:
    def __init__(self) -> None:
        self.engines: list[Engine] = []
        self.cleared = 0

    async def run(self, loading: Callable[[], None]) -> Any:
        self.engines.append(Engine())
        return self.engines[-1]

    def clear_away(self) -> None:
        self.cleared += 1


def settings(folder: Path) -> EmbeddedSettings:
    return EmbeddedSettings("engine", folder, folder, folder / "log")


@pytest.fixture
async def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineLife:
    async def trials(_: object) -> Trials:
        return Trials()

    made = EngineLife(
        settings(tmp_path), Starts(), on_state=lambda _: None, on_end=lambda: None, on_trial=lambda _s, _o: None
    )
    monkeypatch.setattr(made, "_new_trials", trials)
    await made.start()
    return made


@pytest.mark.parametrize("known", [True, False], ids=["known to be dead", "only not alive"])
async def test_a_start_cancelled_while_the_last_engine_is_put_away_stops_it_all_the_same(
    life: EngineLife, known: bool
) -> None:
    engine: Any = life.engine
    starts: Any = life._start
    engine.alive = False
    if known:
        engine.death.set_result("it hung")
        await asyncio.sleep(0)
    again, cleared = asyncio.create_task(life.start()), starts.cleared
    await asyncio.sleep(0)
    again.cancel()
    await asyncio.wait({again})
    assert (engine.stopped, life.engine, life.state) == (True, None, EngineState.STOPPED)
    assert starts.cleared == cleared + 1
    await life.start()
    assert life.ready


class Llm:
    def __init__(self) -> None:
        self.ended = threading.Event()

    def shutdown(self, timeout: float) -> None:
        self.ended.set()


async def test_an_engine_that_came_as_its_start_was_cancelled_is_shut_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm, come = Llm(), threading.Event()

    class Launch:
        def __init__(self, *_: object) -> None:
            pass

        def run(self) -> Llm:
            come.wait(60)
            return llm

        def abandon(self) -> None:
            pass

    monkeypatch.setattr(engine_start, "Launch", Launch)
    start = engine_start.EngineStart(settings(tmp_path), EngineMetrics(), lambda _: None)
    running = asyncio.create_task(start.run(lambda: None))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running})
    come.set()
    assert await asyncio.to_thread(llm.ended.wait, 60)
