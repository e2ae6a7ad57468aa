"""A child process: started, watched, started again, stopped."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.processes import gone
from trivet.app.processes import child as child_module
from trivet.app.processes.child import Child
from trivet.app.supervision.supervisor import RestartSettings
from trivet.errors import FailedPrecondition

pytestmark = pytest.mark.process
SERVES = """
import json, os, pathlib, sys, time
pathlib.Path(sys.argv[1], "server.json").write_text(json.dumps({"pid": os.getpid(), "listen": "here"}))
time.sleep(60)
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + SERVES


class Watched(Child):
    def __init__(self, folder: Path, program: str) -> None:
        self.told: list[Mapping[str, str] | None] = []
        command = [sys.executable, "-c", program, str(folder)]
        super().__init__("one", command, folder, self.told.append, lambda: self.told.append(None))


async def test_one_that_is_killed_is_started_again(tmp_path: Path) -> None:
    child = Watched(tmp_path, SERVES)
    await child.start()
    first = child.pid
    assert first is not None
    child.signal(signal.SIGKILL)
    async with asyncio.timeout(60):
        while child.told != [{"listen": "here"}, None, {"listen": "here"}]:
            await asyncio.sleep(0.02)
    assert child.up
    assert child.restarts == 1
    second = child.pid
    assert second is not None
    assert second != first
    await child.stop(10)
    assert gone(second)
    assert child.told[-1] is None
    assert child.restarts == 1


async def test_one_whose_next_start_fails_is_started_again_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First nothing can be started, then what tells where it serves cannot be written."""
    monkeypatch.setattr(child_module, "RESTARTS", RestartSettings(first_delay=0.05))
    child = Watched(tmp_path, SERVES)
    await child.start()
    full = [OSError("no space is left"), OSError("no space is left")]
    spawn, listen = child._spawn, child.told.append

    async def spawned() -> None:
        if len(full) == 2:
            raise full.pop()
        await spawn()

    def told(said: Mapping[str, str]) -> None:
        if full:
            raise full.pop()
        listen(said)

    monkeypatch.setattr(child, "_spawn", spawned)
    monkeypatch.setattr(child, "_on_up", told)
    child.signal(signal.SIGKILL)
    async with asyncio.timeout(60):
        while child.told[1:].count({"listen": "here"}) == 0:
            await asyncio.sleep(0.02)
    assert child.told == [{"listen": "here"}, None, None, {"listen": "here"}]
    assert child.restarts == 3
    await child.stop(10)


async def test_a_first_start_that_fails_is_told(tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text('{"pid": 1}')  # of an earlier life
    child = Watched(tmp_path, "raise SystemExit(3)")
    with pytest.raises(FailedPrecondition, match="exit code 3"):
        await child.start()
    await child.stop(1)
    assert child.told == []


async def test_one_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    child = Watched(tmp_path, STUBBORN)
    await child.start()
    pid = child.pid
    assert pid is not None
    await child.stop(0.2)
    assert gone(pid)


async def test_one_that_waits_for_its_next_life_is_not_started_any_more(tmp_path: Path) -> None:
    child = Watched(tmp_path, SERVES)
    await child.start()
    child.signal(signal.SIGKILL)
    async with asyncio.timeout(60):
        while child.up:
            await asyncio.sleep(0.001)
    await child.stop(1)
    assert child.restarts == 0
