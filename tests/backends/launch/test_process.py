"""The engine as a child of a server's process: quiet, at home in the data folder, gone with its parent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import gone

ROOT = Path(__file__).parents[3]


@pytest.mark.engine
def test_quiet_at_home_and_gone_with_its_parent(tiny_model: Path, tmp_path: Path) -> None:
    """Spawned, as in production. Kills the parent with SIGKILL."""
    home, data = tmp_path / "home", tmp_path / "data"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("VLLM_", "HF_", "XDG_"))}
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(Path(__file__).with_name("serve_tiny.py")), str(tiny_model), str(data)]
    errors = tmp_path / "stderr"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        assert process.stdout is not None
        said: list[str] = []
        while not said or not said[-1].startswith("engine"):
            line = process.stdout.readline()
            assert line, errors.read_text()
            said.append(line.strip())
        child = int(said[-1].split()[1])
        assert said[:-1] == ["starting", "loading", "ready", "answered True"]
        assert not gone(child, 0)
    finally:
        process.kill()
        process.wait()
    assert errors.read_text() == ""
    assert process.stdout.read() == ""
    assert "vllm.v1.engine.core" in (data / "engine.log").read_text()
    assert list(home.rglob("*")) == []
    assert gone(child, 5)
