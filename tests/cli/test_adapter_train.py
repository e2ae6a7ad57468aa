"""`trivet adapter train` as a person meets it: refusals, exit codes, output, and a real kill -9."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.support.engine.training_base import make_base, write_lines, write_recipe
from trivet.cli.main import main
from trivet.training.folder import ADAPTER_FILES


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("training") / "base")


def train(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["adapter", "train", *map(str, arguments)])


@pytest.mark.process
def test_it_trains_scores_and_tells_the_same_in_json_and_for_people(base: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, base, price_per_hour=3600)
    result = train(recipe, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    folder = tmp_path / "adapters" / "sums" / "1"
    assert told == {"folder": str(folder), "manifest": yaml.safe_load((folder / "adapter.yaml").read_text())}
    assert "training: 20/20  loss " in result.stderr
    assert "scoring the bare base: 6/6" in result.stderr
    result = train(recipe, "--out", tmp_path / "elsewhere", "--steps", "3", "--no-score")
    assert result.exit_code == 0, result.output
    assert f"sums@1: {tmp_path}/elsewhere/sums/1" in result.stdout
    assert "cost      $" in result.stdout
    assert "right" not in result.stdout
    manifest = yaml.safe_load((tmp_path / "elsewhere" / "sums" / "1" / "adapter.yaml").read_text())
    assert manifest["recipe"]["steps"] == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"speed": 9}, r"recipe.yaml:\d+: speed: unknown field"),
        ({"name": None}, r"recipe.yaml:1: name: required field is missing"),
        ({"version": 1}, r"recipe.yaml:\d+: version: expected text, got a number: write '1', in quotes"),
        ({"name": "../up"}, r"recipe.yaml:\d+: name: expected a name"),
        ({"version": "../up"}, r"recipe.yaml:\d+: version: expected a version"),
        ({"training": {"ranks": 9}}, r"recipe.yaml:\d+: training.ranks: unknown field"),
        ({"training": {"rank": "8"}}, r"recipe.yaml:\d+: training.rank: expected a whole number, got '8'"),
        ({"training": {"lr": "1e-3"}}, r"training.lr: YAML takes this for text, write it as in 0.001"),
        ({"training": {"warm_up": 21}}, r"recipe.yaml:\d+: training.warm_up: is 21, of 20 steps"),
        ({"training": {"objective": "grpo"}}, r"recipe.yaml:\d+: training.objective: is grpo, expected rewards beside"),
        ({"training": {"beta": 0.2}}, r"training.beta: has an effect with objective dpo alone, not with sft"),
        ({"training": {"objective": "dpo", "group": 4}}, r"training.group: has an effect with objective grpo alone"),
        (
            {"training": {"invocation": "question"}},
            r"training.invocation: has an effect with method alora alone, not lora",
        ),
        ({"training": {"method": "alora", "checkpointing": True}}, r"training.checkpointing: beside method alora"),
        ({"training": {"start": "nowhere"}}, r"training.start: .*nowhere has no adapter_config.json and adapter_model"),
        (
            {"training": {"objective": "grpo", "rewards": {"judged": ["format_valid"]}}},
            r"training.rewards.judged.0: format_valid needs labels or a json_schema",
        ),
        ({"data": "none.jsonl"}, r"recipe.yaml:\d+: data: .*none.jsonl is not a file"),
        ({"data": ["train.jsonl", "none.jsonl"]}, r"recipe.yaml:\d+: data.1: .*none.jsonl is not a file"),
        ({"data": ["train.jsonl", "train.jsonl"]}, r"recipe.yaml:\d+: data.1: train.jsonl is named twice"),
        ({"data": []}, r"recipe.yaml:\d+: data: expected at least 1 entry"),
        ({"base": {"path": "nowhere", "name": "tiny"}}, r"recipe.yaml:\d+: base.path: .*nowhere is not a folder"),
        ({"base": {"path": ".", "name": "tiny"}}, r"recipe.yaml:\d+: base.path: .* has no config.json"),
        ({"price_per_hour": -1}, r"recipe.yaml:\d+: price_per_hour: expected at least 0"),
        ({"held_out": "train.jsonl"}, r"train.jsonl:1: messages: is in the training data too"),
    ],
)
def test_a_bad_recipe_is_exit_code_2_and_told_by_line(
    base: Path, tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    result = train(write_recipe(tmp_path, base, **change))
    assert result.exit_code == 2, result.output
    assert re.search(told, result.stderr), result.stderr
    assert not (tmp_path / "adapters").exists()


def test_a_bad_chat_is_exit_code_2_and_told_by_line(base: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, base)
    write_lines(tmp_path / "held-out.jsonl", [{"messages": [{"role": "user", "content": "x"}]}])
    result = train(recipe)
    assert result.exit_code == 2
    assert f"{tmp_path}/held-out.jsonl:1: messages[0].role: a chat ends with an assistant message" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["none.yaml"], ["RECIPE", "--steps", "0"], ["RECIPE", "--threads", "0"]])
def test_wrong_usage_is_exit_code_2(base: Path, tmp_path: Path, arguments: list[str]) -> None:
    recipe = str(write_recipe(tmp_path, base))
    assert train(*[recipe if item == "RECIPE" else item for item in arguments]).exit_code == 2


def test_a_version_that_is_there_is_exit_code_1(base: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, base)
    (tmp_path / "adapters" / "sums" / "1").mkdir(parents=True)
    result = train(recipe)
    assert result.exit_code == 1
    assert "sums/1 exists: versions are immutable. Name another version, or remove this one" in result.stderr


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < limit
        time.sleep(0.005)


@pytest.mark.process
def test_killed_with_signal_9_it_goes_on_and_gives_the_same_bytes(base: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, base, training={"steps": 120}, checkpoint_steps=5)
    command = [sys.executable, "-m", "trivet.cli", "adapter", "train", str(recipe), "--no-score"]
    scratch = tmp_path / "adapters" / "sums" / ".1.training"
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        until((scratch / "checkpoint.pt").exists, process)
        second = train(recipe, "--no-score")
        assert second.exit_code == 1
        assert f"is being trained by process {process.pid}; wait for it, or stop it" in second.stderr
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "adapters" / "sums" / "1").exists()
    again = train(recipe, "--no-score")
    assert again.exit_code == 0, again.output
    assert "going on at step " in again.stderr
    assert not scratch.exists()
    whole = train(recipe, "--no-score", "--out", tmp_path / "whole")
    assert whole.exit_code == 0, whole.output
    for name in ADAPTER_FILES:
        killed = tmp_path / "adapters" / "sums" / "1" / name
        assert killed.read_bytes() == (tmp_path / "whole" / "sums" / "1" / name).read_bytes()
