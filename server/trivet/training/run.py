"""One adapter from its recipe to its folder: read, train, score, publish. Killed and run again, it goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import torch
import transformers
from jinja2 import TemplateError
from transformers import AutoConfig, AutoTokenizer

from trivet.errors import ConfigError
from trivet.training.chat_files import MOST_PROBLEMS, ChatSet, LocatedChat, read_chats, refuse_overlap
from trivet.training.chats import Example, encode, padding
from trivet.training.feed import Feed
from trivet.training.folder import fingerprint, write
from trivet.training.job import Job, Watcher
from trivet.training.lora import Training, attach
from trivet.training.score import score
from trivet.training.scratch import Identity, Scratch

LIBRARIES = ("torch", "peft", "transformers")


@dataclass(frozen=True, slots=True)
class _Material:
    tokenizer: Any
    training: Sequence[Example]
    chats: ChatSet
    held_out: ChatSet


def run(job: Job, watcher: Watcher, *, restart: bool = False, scored: bool = True) -> Mapping[str, Any]:
    """Train the adapter, publish its folder in one step and give its manifest.

    Raises ConfigError for chats that cannot be learned from, and FailedPrecondition if the version exists, another
    process trains it, or the checkpoint belongs to another training (which `restart` throws away).
    """
    chats, held_out = read_chats(job.data), read_chats(job.held_out)
    refuse_overlap(chats, held_out)
    torch.set_num_threads(job.recipe.threads)
    transformers.utils.logging.disable_progress_bar()  # ours is enough
    with Scratch(job.target) as scratch:
        if restart:
            scratch.forget()
        identity = _identity(job, chats)
        known = scratch.load(identity)
        material = _prepare(job, chats, held_out, watcher)
        feed = Feed(
            material.training,
            tokens=job.recipe.batch_tokens,
            padding=padding(material.tokenizer),
            seed=job.recipe.seed,
        )
        training = Training(attach(job.base, job.recipe, job.base_name), feed, job.recipe)
        seconds = _train(job, training, scratch, identity, known, watcher)
        metrics: dict[str, Any] = {"loss": round(training.loss, 5)}
        if scored and len(held_out):
            metrics["held_out"] = _score(training.model, material, watcher)
        manifest = write(
            training.model,
            scratch.prepared(),
            name=job.name,
            version=job.version,
            base={"name": job.base_name, "fingerprint": identity["base"]},
            recipe=asdict(job.recipe),
            told=_told(job, chats, training, seconds, metrics),
        )
        scratch.publish()
    return manifest


def _identity(job: Job, chats: ChatSet) -> Identity:
    """Whatever the weights depend on: a checkpoint is only gone on with if all of it is the same."""
    found: dict[str, Any] = {f"training.{name}": value for name, value in asdict(job.recipe).items()}
    found |= {"base": fingerprint(job.base), "base.name": job.base_name, "data": chats.digest}
    return found | {library: version(library) for library in LIBRARIES}


def _prepare(job: Job, chats: ChatSet, held_out: ChatSet, watcher: Watcher) -> _Material:
    tokenizer = AutoTokenizer.from_pretrained(job.base)
    if tokenizer.chat_template is None:
        raise ConfigError([f"{job.base}: has no chat template (tokenizer_config.json or chat_template.jinja)"])
    longest: int = AutoConfig.from_pretrained(job.base).max_position_embeddings
    watcher.begin("reading chats", len(chats) + len(held_out))
    examples: list[Example] = []
    problems: list[str] = []
    for located in (*chats.chats, *held_out.chats):
        try:
            examples.append(_encode(tokenizer, located, longest))
        except ValueError as error:
            problems.append(located.problem("messages", str(error)))
        if len(problems) == MOST_PROBLEMS:
            break
        watcher.advance()
    if problems:
        raise ConfigError(problems)
    return _Material(tokenizer, examples[: len(chats)], chats, held_out)


def _encode(tokenizer: Any, located: LocatedChat, longest: int) -> Example:
    try:
        example = encode(tokenizer, located.chat)
    except TemplateError as error:
        raise ValueError(f"the base's chat template refuses it: {error}") from error
    if len(example.ids) > longest:
        raise ValueError(f"has {len(example.ids)} tokens, the base reads {longest} at most")
    return example


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
    watcher.begin("training", job.recipe.steps, training.done)
    while training.done < job.recipe.steps:
        training.step()
        if training.done % job.checkpoint_steps == 0 or training.done == job.recipe.steps:
            seconds = time.monotonic() - started
            scratch.save(identity, {"training": training.state(), "seconds": seconds})
        watcher.advance(f"loss {training.loss:.4f}")
    return time.monotonic() - started


def _score(model: Any, material: _Material, watcher: Watcher) -> Mapping[str, Any]:
    chats = [located.chat for located in material.held_out.chats]

    def tell(stage: str) -> Any:
        watcher.begin(stage, len(chats))
        hits = [0]

        def on_answer(hit: bool) -> None:
            hits[0] += hit
            watcher.advance(f"{hits[0]} right")

        return on_answer

    adapted = score(model, material.tokenizer, chats, tell("scoring the adapter"))
    with model.disable_adapter():
        bare = score(model, material.tokenizer, chats, tell("scoring the bare base"))
    found = {"n": len(chats), "digest": material.held_out.digest, **adapted.as_data()}
    return found | {"base": bare.as_data()}


def _told(job: Job, chats: ChatSet, training: Training, seconds: float, metrics: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "data": {"digest": chats.digest, "chats": len(chats), "tokens_seen": training.tokens},
        "metrics": dict(metrics),
    }
    if job.price_per_hour is not None:
        hours = round(seconds / 3600, 6)
        usd = round(hours * job.price_per_hour, 6)
        told["cost"] = {"hours": hours, "price_per_hour": job.price_per_hour, "usd": usd}
    return told | {"libraries": {library: version(library) for library in LIBRARIES}}
