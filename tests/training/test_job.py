"""A training from recipe to folder: what is written, gone on with, and refused."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.support.engine.tiny_model import make_model
from tests.support.engine.training_base import write_recipe
from trivet.adapters.preflight.base_model import BaseModel
from trivet.adapters.preflight.manifest import read_manifest
from trivet.cli.adapter.recipe import load_recipe
from trivet.errors import ConfigError, FailedPrecondition
from trivet.training import Job
from trivet.training.folder import ADAPTER_FILES, digest, fingerprint
from trivet.training.run import run
from trivet.training.score import Score
from trivet.training.scratch import CHECKPOINT, Scratch
from trivet.types.variant import VersionRef

pytestmark = pytest.mark.process

REF = VersionRef("sums", "1")


class Killed(BaseException):
    """Ends a training as a signal does: nothing catches it."""


class Watch:
    """Remembers what it was told; ends the training after so many steps."""

    def __init__(self, steps: int | None = None) -> None:
        self.stages: list[tuple[str, int, int]] = []
        self.notes: list[str] = []
        self._left = steps

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        self.stages.append((stage, total, done))

    def advance(self, detail: str = "") -> None:
        if self.stages[-1][0] == "training" and self._left is not None:
            self._left -= 1
            if self._left == 0:
                raise Killed

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def job(base: Path, tmp_path: Path) -> Job:
    return load_recipe(write_recipe(tmp_path, base))


def adapter_bytes(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in ADAPTER_FILES]


def checkpoint(job: Job) -> Path:
    return job.target.parent / ".1.training" / CHECKPOINT


def test_the_folder_says_what_it_is_and_the_servers_reader_takes_it(job: Job, base: Path) -> None:
    manifest = run(replace(job, price_per_hour=1.5), Watch())
    assert sorted(path.name for path in job.target.parent.iterdir()) == ["1"]  # the scratch folder is gone
    assert sorted(path.name for path in job.target.iterdir()) == ["adapter.yaml", *ADAPTER_FILES]
    assert yaml.safe_load((job.target / "adapter.yaml").read_text()) == manifest
    checked = read_manifest(job.target / "adapter.yaml", REF)
    assert checked.base_fingerprint == BaseModel(base).fingerprint == fingerprint(base)
    config, weights = adapter_bytes(job.target)
    assert checked.digest == manifest["digest"] == hashlib.sha256(config + weights).hexdigest()
    assert json.loads(config)["base_model_name_or_path"] == "tiny"
    assert str(base) not in config.decode()
    assert manifest["recipe"] == {
        **{
            "method": "lora",
            "rank": 4,
            "alpha": 8,
            "steps": 20,
            "lr": 0.005,
            "warm_up": 2,
            "batch_tokens": 256,
            "seed": 3,
        },
        "threads": 1,
    }
    assert manifest["data"]["digest"] == hashlib.sha256(job.data[0].read_bytes()).hexdigest()
    assert manifest["data"]["chats"] == 300
    assert 20 * 100 < manifest["data"]["tokens_seen"] <= 20 * 256
    held_out = manifest["metrics"]["held_out"]
    assert held_out["n"] == 6
    assert set(held_out) > {"right", "share", "low", "high", "base"}
    assert set(held_out["base"]) == {"right", "share", "low", "high"}
    assert manifest["cost"]["usd"] == pytest.approx(manifest["cost"]["hours"] * 1.5, abs=1e-6)
    assert manifest["libraries"] == {name: version(name) for name in ("torch", "peft", "transformers")}


def test_without_a_price_there_is_no_cost_and_unscored_no_score(job: Job) -> None:
    watch = Watch()
    manifest = run(job, watch, scored=False)
    assert "cost" not in manifest
    assert set(manifest["metrics"]) == {"loss"}
    assert watch.stages == [("reading chats", 306, 0), ("training", 20, 0)]


@pytest.mark.parametrize("steps", [1, 7, 19, 20])
def test_killed_at_any_step_and_run_again_it_gives_the_same_bytes(job: Job, tmp_path: Path, steps: int) -> None:
    whole = replace(job, out=tmp_path / "whole")
    run(whole, Watch(), scored=False)
    with pytest.raises(Killed):
        run(job, Watch(steps), scored=False)
    assert not job.target.exists()
    again = Watch()
    run(job, again, scored=False)
    assert adapter_bytes(job.target) == adapter_bytes(whole.target)
    last = steps // 4 * 4
    assert again.stages[-1] == ("training", 20, last)
    assert again.notes == ([f"going on at step {last} of 20"] if last else [])


def test_the_data_is_repeated_if_the_steps_need_more(base: Path, tmp_path: Path) -> None:
    path = write_recipe(tmp_path, base, training={"batch_tokens": 64, "steps": 12})
    (tmp_path / "train.jsonl").write_text("".join((tmp_path / "train.jsonl").read_text().splitlines(True)[:5]))
    manifest = run(load_recipe(path), Watch(), scored=False)
    assert manifest["data"]["chats"] == 5
    assert manifest["data"]["tokens_seen"] > 12 * 20


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda job: replace(job, recipe=replace(job.recipe, steps=24)), r"training.steps is 24 now and was 20"),
        (lambda job: replace(job, recipe=replace(job.recipe, seed=4)), r"training.seed is 4 now and was 3"),
        (lambda job: replace(job, base_name="other"), r"base.name is 'other' now and was 'tiny'"),
        (lambda job: replace(job, data=job.data * 2), r"data is '[0-9a-f]{64}' now and was '[0-9a-f]{64}'"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused_unless_restarted(job: Job, change: Any, told: str) -> None:
    with pytest.raises(Killed):
        run(job, Watch(9), scored=False)
    before = checkpoint(job).read_bytes()
    other = change(job)
    with pytest.raises(FailedPrecondition, match=f"is of another training: {told}. Put that back, or begin again"):
        run(other, Watch(), scored=False)
    assert checkpoint(job).read_bytes() == before
    watch = Watch()
    run(other, watch, restart=True, scored=False)
    assert watch.stages[-1] == ("training", other.recipe.steps, 0)


def test_a_spoiled_checkpoint_is_refused_unless_restarted(job: Job) -> None:
    with pytest.raises(Killed):
        run(job, Watch(9), scored=False)
    checkpoint(job).write_bytes(checkpoint(job).read_bytes()[:1000])
    with pytest.raises(FailedPrecondition, match=r"checkpoint.pt cannot be read .*; --restart begins again"):
        run(job, Watch(), scored=False)
    run(job, Watch(), restart=True, scored=False)


def test_a_checkpoint_that_carries_code_is_not_run(job: Job, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "boom"),)

    checkpoint(job).parent.mkdir(parents=True)
    torch.save(Bomb(), checkpoint(job))
    with pytest.raises(FailedPrecondition, match="cannot be read"):
        run(job, Watch(), scored=False)
    assert not (tmp_path / "boom").exists()


def test_a_half_written_checkpoint_is_never_seen(job: Job) -> None:
    with pytest.raises(Killed):
        run(job, Watch(9), scored=False)
    checkpoint(job).with_suffix(".new").write_bytes(b"half")
    (checkpoint(job).parent / "finished").mkdir()
    (checkpoint(job).parent / "finished" / "adapter.yaml").write_text("half")
    watch = Watch()
    run(job, watch, scored=False)
    assert watch.notes == ["going on at step 8 of 20"]
    assert read_manifest(job.target / "adapter.yaml", REF).digest == digest(job.target)


def test_a_version_that_is_there_is_never_touched(job: Job) -> None:
    job.target.mkdir(parents=True)
    (job.target / "README.md").write_text("mine")
    with pytest.raises(FailedPrecondition, match=r"sums/1 exists: versions are immutable. Name another version"):
        run(job, Watch(), restart=True)
    assert [path.name for path in job.target.parent.rglob("*")] == ["1", "README.md"]


def test_a_version_that_appears_meanwhile_is_not_overwritten(job: Job) -> None:
    class Meddler(Watch):
        def advance(self, detail: str = "") -> None:
            if self.stages[-1][0] == "training" and not job.target.exists():
                job.target.mkdir(parents=True)
                (job.target / "README.md").write_text("mine")

    with pytest.raises(FailedPrecondition, match="exists: versions are immutable"):
        run(job, Meddler(), scored=False)
    assert [path.name for path in job.target.iterdir()] == ["README.md"]


def test_a_second_training_of_the_same_version_is_refused_with_the_pid(job: Job, tmp_path: Path) -> None:
    with Scratch(job.target) as scratch:
        with pytest.raises(FailedPrecondition, match=rf"is being trained by process {os.getpid()}; wait for it"):
            run(job, Watch(), restart=True)
        scratch.save({}, {"kept": 1})
        assert scratch.load({}) == {"kept": 1}
    run(replace(job, version="2"), Watch(), scored=False)


def test_chats_that_the_base_cannot_read_are_told_by_their_line(job: Job) -> None:
    with job.data[0].open("a") as file:
        file.write(json.dumps({"messages": [{"role": r, "content": "x" * 3000} for r in ("user", "assistant")]}) + "\n")
    with pytest.raises(ConfigError, match=r"train.jsonl:301: messages: has \d{4} tokens, the base reads 2048 at most"):
        run(job, Watch())
    assert not checkpoint(job).parent.exists()


def test_a_base_that_cannot_chat_is_told(job: Job, tmp_path: Path) -> None:
    base = make_model(tmp_path / "mute")
    with pytest.raises(ConfigError, match="mute: has no chat template"):
        run(replace(job, base=base), Watch())


def test_a_score_has_wilsons_interval() -> None:
    assert Score(8, 10).as_data() == {"right": 8, "share": 0.8, "low": 0.4902, "high": 0.9433}
