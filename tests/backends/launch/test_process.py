"""The engine as a descendant of a server's process: quiet, at home in the data folder, back when it died, gone with its
server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import gone

ROOT = Path(__file__).parents[3]
COMES_UP = ["starting", "loading", "ready", "answered True"]


@pytest.mark.engine
def test_quiet_at_home_and_gone_with_its_parent(tiny_model: Path, tmp_path: Path) -> None:
    """Started as in production. Kills the server with SIGKILL."""
    home = tmp_path / "home"
    home.mkdir()
    with _served(tiny_model, tmp_path, home) as process:
        said, child = _until_up(process)
        assert said == COMES_UP
        assert not gone(child, 0)
        host = _parent(child)
    assert (tmp_path / "stderr").read_text() == ""
    assert process.stdout is not None
    assert process.stdout.read() == ""
    assert "vllm.v1.engine.core" in (tmp_path / "data" / "engine.log").read_text()
    assert list(home.rglob("*")) == []
    assert gone(child, 5)
    assert gone(host, 5)


@pytest.mark.engine
@pytest.mark.timeout(900)
def test_a_killed_engine_is_forked_again_and_a_killed_host_is_done_without(tiny_model: Path, tmp_path: Path) -> None:
    with _served(tiny_model, tmp_path, tmp_path) as process:
        _, first = _until_up(process)
        host = _parent(first)
        assert _parent(host) == process.pid
        os.kill(first, signal.SIGKILL)
        said, second = _until_up(process)
        assert (said, _parent(second)) == (["dead", *COMES_UP], host)
        os.kill(host, signal.SIGKILL)
        said, third = _until_up(process)
        assert (said, _parent(third)) == (["dead", *COMES_UP], process.pid)
        assert gone(second, 5)


@contextmanager
def _served(model: Path, folder: Path, home: Path) -> Iterator[subprocess.Popen[str]]:
    """The server, killed in the end; `folder` takes its data and what it says on stderr."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("VLLM_", "HF_", "XDG_"))}
    environment |= {
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "server"), str(ROOT)]),
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, str(Path(__file__).with_name("serve_tiny.py")), str(model), str(folder / "data")]
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _until_up(process: subprocess.Popen[str]) -> tuple[list[str], int]:
    """What it says until an engine answers, and that engine's process."""
    assert process.stdout is not None
    said: list[str] = []
    while not said or not said[-1].startswith("engine"):
        line = process.stdout.readline()
        assert line, said
        said.append(line.strip())
    return said[:-1], int(said[-1].split()[1])


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
