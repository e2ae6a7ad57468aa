"""One adapter from its recipe to its folder: read, train, score, publish. Killed and run again, it goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch
import transformers

from trivet.training.chats import padding
from trivet.training.folder import fingerprint, write
from trivet.training.held_out import score_held_out
from trivet.training.job import Job, Watcher
from trivet.training.lora import Training, attach
from trivet.training.material import Files, Material, prepare, read_files
from trivet.training.objectives.imitation import Imitation
from trivet.training.objectives.objective import Objective
from trivet.training.objectives.preference import Preference
from trivet.training.objectives.reward import Rewarding
from trivet.training.objectives.rewards import Judge
from trivet.training.pace import Pace
from trivet.training.score import ends
from trivet.training.scratch import Identity, Scratch

LIBRARIES = ("torch", "peft", "transformers")


def run(job: Job, watcher: Watcher, *, restart: bool = False, scored: bool = True) -> Mapping[str, Any]:
    """Train the adapter, publish its folder in one step and give its manifest.

    Raises ConfigError for data that cannot be learned from, and FailedPrecondition if the version exists, another
    process trains it, this machine cannot do the recipe's method, or the checkpoint belongs to another training (which
    `restart` throws away).
    """
    files = read_files(job)
    torch.set_num_threads(job.recipe.threads)
    transformers.utils.logging.disable_progress_bar()  # ours is enough
    with Scratch(job.target) as scratch:
        if restart:
            scratch.forget()
        identity = _identity(job, files)
        known = scratch.load(identity)
        material = prepare(job, files, watcher)
        model = attach(job.base, job.recipe, job.base_name, material.invocation, job.start)
        objective = _objective(job, model, material, watcher)
        training = Training(model, objective, job.recipe)
        seconds = _train(job, training, scratch, identity, known, watcher)
        metrics: dict[str, Any] = {name: round(value, 5) for name, value in training.figures.items()}
        if scored and files.held_out:
            found = score_held_out(training, objective, material, files.held_out, watcher)
            metrics["held_out"] = {"n": len(files.held_out), "digest": files.held_out_digest, **found}
        manifest = write(
            training.model,
            scratch.prepared(),
            name=job.name,
            version=job.version,
            base={"name": job.base_name, "fingerprint": identity["base"]},
            recipe=job.recipe.as_data(),
            told=_told(job, files, training, seconds, metrics),
        )
        scratch.publish()
    return manifest


def _identity(job: Job, files: Files) -> Identity:
    """Whatever the weights depend on: a checkpoint is only gone on with if all of it is the same."""
    found: dict[str, Any] = {f"training.{name}": value for name, value in job.recipe.as_data().items()}
    found |= {"base": fingerprint(job.base), "base.name": job.base_name, "data": files.digest}
    return found | {library: version(library) for library in LIBRARIES}


def _objective(job: Job, model: Any, material: Material, watcher: Watcher) -> Objective:
    recipe, token = job.recipe, padding(material.tokenizer)
    if recipe.objective == "sft":
        return Imitation(material.training, recipe, padding=token, weights=material.weights)
    if recipe.objective == "grpo":
        stops, judge = ends(model, material.tokenizer), Judge(recipe.rewarded)

        def decode(ids: Any) -> str:
            text: str = material.tokenizer.decode(ids, skip_special_tokens=True)
            return text

        return Rewarding(material.training, recipe, judge, decode, stops, padding=token, weights=material.weights)
    watcher.begin("asking the reference", len(material.training))

    def on_pairs(count: int) -> None:
        for _ in range(count):
            watcher.advance()

    return Preference(material.training, recipe, model, padding=token, weights=material.weights, on_pairs=on_pairs)


def _train(
    job: Job,
    training: Training,
    scratch: Scratch,
    identity: Identity,
    known: Mapping[str, Any] | None,
    watcher: Watcher,
) -> float:
    """Give the seconds that it took, over all runs."""
    before = 0.0
    if known is not None:
        training.restore(known["training"])
        before = known["seconds"]
        watcher.note(f"going on at step {training.done} of {job.recipe.steps}")
    started = time.monotonic() - before
    pace = Pace(training.tokens)
    watcher.begin("training", job.recipe.steps, training.done)
    while training.done < job.recipe.steps:
        training.step()
        if training.done % job.checkpoint_steps == 0 or training.done == job.recipe.steps:
            seconds = time.monotonic() - started
            scratch.save(identity, {"training": training.state(), "seconds": seconds})
        figures = "  ".join(f"{name} {value:.4f}" for name, value in training.figures.items())
        watcher.advance(f"{figures}  {pace.told(training.tokens)}")
    return time.monotonic() - started


def _told(job: Job, files: Files, training: Training, seconds: float, metrics: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "data": {"digest": files.digest, "chats": len(files.training), "tokens_seen": training.tokens},
        "metrics": dict(metrics),
    }
    if job.price_per_hour is not None:
        hours = round(seconds / 3600, 6)
        usd = round(hours * job.price_per_hour, 6)
        told["cost"] = {"hours": hours, "price_per_hour": job.price_per_hour, "usd": usd}
    return told | {"libraries": {library: version(library) for library in LIBRARIES}}
