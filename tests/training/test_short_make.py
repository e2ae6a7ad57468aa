"""models/demo/make.py from nothing, with stages of a dozen steps: trained, killed, continued, exported, scored.

A stage must end with the same bits however often it was killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
import yaml

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("short_make.py")
STAGES: list[dict[str, Any]] = yaml.safe_load((ROOT / "models" / "demo" / "recipe.yaml").read_text())["stages"]
FIRST, LAST = STAGES[0]["run"], STAGES[-1]["run"]
TOKENS, SAVE_EVERY = 5000, 4  # as the script says


def command(runs: Path, *steps: str) -> list[str]:
    words = [sys.executable, str(SCRIPT), "--runs", str(runs), "--n", "2"]
    return [*words, "--steps", *steps] if steps else words


def curve(runs: Path, run: str) -> list[dict[str, float]]:
    """What was logged of a run, up to its last whole line."""
    path = runs / run / "curve.jsonl"
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []


def checkpoint(runs: Path, run: str) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(runs / run / "checkpoint.pt", weights_only=True)
    return state


def kill_in_the_middle(runs: Path, log: Path) -> None:
    """Start, and kill it and its processes between two checkpoints of the last stage."""
    with log.open("w") as told:
        process = subprocess.Popen(command(runs), stdout=told, stderr=told, start_new_session=True)
    try:
        while not any(line["step"] > SAVE_EVERY for line in curve(runs, LAST)):
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run(words: list[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(600)  # most of it are the imports of nine processes
def test_the_demos_model_is_made_from_nothing_also_when_it_is_killed(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    kill_in_the_middle(runs, tmp_path / "log")
    logged = len(curve(runs, LAST))
    kept = checkpoint(runs, LAST)
    assert kept["step"] % SAVE_EVERY == 0
    assert kept["tokens"] < TOKENS
    finished = (runs / FIRST / "checkpoint.pt").read_bytes()

    told = run(command(runs))
    assert "exported to" in told
    assert "exact match on held-out names" in told
    assert (runs / FIRST / "checkpoint.pt").read_bytes() == finished  # not trained again
    exported = runs / LAST / "weights"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in exported.iterdir()}
    assert curve(runs, LAST)[logged]["step"] == kept["step"] + 1  # from the checkpoint on, not from the beginning
    losses = [line["loss"] for line in curve(runs, FIRST)]
    assert mean(losses[-3:]) < mean(losses[:3]) - 0.2

    other = tmp_path / "never-killed"
    for stage in STAGES[:-1]:
        shutil.copytree(runs / stage["run"], other / stage["run"])
    run(command(other, "train"))
    continued, whole_run = checkpoint(runs, LAST), checkpoint(other, LAST)
    assert (continued["step"], continued["tokens"]) == (whole_run["step"], whole_run["tokens"])
    for name, weight in whole_run["network"].items():
        assert torch.equal(weight, continued["network"][name]), name
