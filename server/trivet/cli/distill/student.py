"""The student: an adapter that learns the teacher's answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from trivet.cli.adapter.recipe import load_recipe
from trivet.cli.console.steps_progress import StepsProgress
from trivet.cli.distill.recipe import Distillation
from trivet.cli.distill.teaching import HELD_OUT, TRAINING, manifest_of
from trivet.config import Config
from trivet.errors import FailedPrecondition
from trivet.training import Job
from trivet.training.folder import MANIFEST as ADAPTER

PROVENANCE = "distillation.json"


def job_of(recipe: Distillation, config: Config, chats: Path, threads: int) -> Job:
    """The training on chats that were written, whose recipe is written beside them for `trivet adapter train`.

    FailedPrecondition if the configuration would not look for the adapter where the recipe puts it.
    """
    file, out = recipe.file, (recipe.folder / recipe.file.out).resolve()
    roots = [root.resolve() for root in config.adapter_roots if isinstance(root, Path)]
    if out not in roots:
        known = ", ".join(map(str, roots)) or "none"
        raise FailedPrecondition(f"out: {out} is no adapter folder of the configuration, expected one of: {known}")
    held_out = chats / HELD_OUT
    training = file.training.model_dump(exclude_unset=True)
    if file.training.start is not None:
        training["start"] = str((recipe.folder / file.training.start).resolve())
    data: dict[str, Any] = {
        "name": file.name,
        "version": file.version,
        "base": {"path": str((recipe.folder / file.base.path).resolve()), "name": file.base.name},
        "data": [TRAINING, *(str((recipe.folder / name).resolve()) for name in file.replay or ())],
        "training": training,
        "out": str(out),
    }
    data |= {"held_out": HELD_OUT} if held_out.stat().st_size else {}
    data |= {} if file.price_per_hour is None else {"price_per_hour": file.price_per_hour}
    path = chats / "recipe.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return load_recipe(path, threads=threads)


def train(job: Job, chats: Path, *, restart: bool) -> Mapping[str, Any]:
    """The adapter's manifest. One that was trained from these chats by this recipe is taken as it is.

    FailedPrecondition if a version of this name is there that was trained otherwise.
    """
    from trivet.training.run import run  # here, because the other commands need no torch

    provenance = manifest_of(chats)
    if (job.target / ADAPTER).is_file():
        return _known(job, provenance)
    with StepsProgress() as progress:
        manifest = run(job, progress, restart=restart)
    part = job.target / f".{PROVENANCE}"
    part.write_text(json.dumps(provenance, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.rename(job.target / PROVENANCE)
    return manifest


def _known(job: Job, provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load((job.target / ADAPTER).read_text())
    told = job.target / PROVENANCE
    kept = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else None
    differs = manifest.get("recipe") != json.loads(json.dumps(job.recipe.as_data())) or kept not in (None, provenance)
    if differs:
        raise FailedPrecondition(
            f"{job.target} is there already and was trained otherwise, expected a version that is not, or the same "
            "recipe and answers"
        )
    return manifest
