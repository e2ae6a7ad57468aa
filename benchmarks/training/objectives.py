"""DPO and GRPO on the shipped model, both from the demo's first ticket adapter on, scored on held-out tickets."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.measuring.repository import ROOT
from trivet.cli.adapter.recipe import load_recipe
from trivet.cli.console.steps_progress import StepsProgress
from trivet.training.held_out import mean_of
from trivet.training.run import run
from trivet.training.score import answer

sys.path.insert(0, str(ROOT / "models" / "demo"))

import chats
import tickets

BASE = ROOT / "models" / "demo" / "weights"
START = ROOT / "adapters" / "ticket-sorter" / "1"
OBJECTIVES: dict[str, dict[str, Any]] = {
    "dpo": {"steps": 300, "lr": 0.001, "batch_tokens": 4096, "beta": 0.1},
    "grpo": {
        "steps": 600,
        "lr": 0.001,
        "batch_tokens": 16384,
        "group": 16,
        "max_new_tokens": 6,
        "rewards": {"judged": ["label_accuracy"], "labels": list(tickets.LABELS)},
    },
}


@dataclass(frozen=True, slots=True)
class Found:
    """An adapter's manifest, and how much its greedy answers to held-out tickets gained in right ones: a share with its
    interval. `before` and `after`: how many were right."""

    manifest: dict[str, Any]
    before: int
    after: int
    gained: Mapping[str, float]


def trained(objective: str, folder: Path, *, count: int, held_out: int, steps: int | None = None) -> Found:
    """An adapter that was trained in `folder` on `count` tickets."""
    data = chats.make("ticket-sorter-2")
    learned = list(islice(filter(_is_ticket, chats.distinct(data.training)), count))
    asked = {json.dumps(chat[:-1]) for chat in learned}
    apart = (chat for chat in chats.distinct(data.held_out) if json.dumps(chat[:-1]) not in asked)
    scored = list(islice(apart, held_out))
    folder.mkdir(parents=True)
    before = _answers(scored, START, "the held-out tickets, before")
    answers = _answers(learned, START, "the tickets to learn from, before") if objective == "dpo" else []
    _write(folder / "train.jsonl", objective, learned, answers)
    _write(folder / "held-out.jsonl", objective, scored, [""] * len(scored))
    settings = OBJECTIVES[objective] | ({} if steps is None else {"steps": steps})
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({
        "name": objective, "version": "1", "base": {"path": str(BASE), "name": "trivet-demo"},
        "data": "train.jsonl", "held_out": "held-out.jsonl", "out": "adapters", "checkpoint_steps": 1000,
        "training": {"objective": objective, "start": str(START), "warm_up": 2, "rank": 8, "alpha": 16, **settings},
    }))  # fmt: skip
    job = load_recipe(recipe)
    with StepsProgress() as progress:
        manifest = dict(run(job, progress))
    after = _answers(scored, job.target, "the held-out tickets, after")
    return _compared(manifest, scored, before, after)


def _compared(manifest: dict[str, Any], scored: Sequence[Any], before: Sequence[str], after: Sequence[str]) -> Found:
    right = [chat[-1]["content"] for chat in scored]
    was = np.array([float(given == wanted) for given, wanted in zip(before, right, strict=True)])
    now = np.array([float(given == wanted) for given, wanted in zip(after, right, strict=True)])
    return Found(manifest, int(was.sum()), int(now.sum()), mean_of(now - was))


def _answers(asked: Sequence[Any], adapter: Path, what: str) -> list[str]:
    """The greedy ones of the shipped model with an adapter."""
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(BASE), adapter).eval()
    with StepsProgress() as progress:
        progress.begin(what, len(asked))
        found = []
        for chat in asked:
            found.append(answer(model, tokenizer, chat).strip())
            progress.advance()
    return found


def _is_ticket(chat: Sequence[Any]) -> bool:
    return chat[-1]["content"] in tickets.LABELS


def _write(path: Path, objective: str, found: Sequence[Any], answers: Sequence[str]) -> None:
    made = _pairs(found, answers) if objective == "dpo" else ({"messages": chat} for chat in found)
    path.write_text("".join(json.dumps(line) + "\n" for line in made))


def _pairs(found: Sequence[Any], answers: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The right queue against the wrong one that the model gave, else against another one drawn by chance."""
    rng = random.Random("pairs")
    for (*asked, right), given in zip(found, answers, strict=True):
        other = rng.choice([label for label in tickets.LABELS if label != right["content"]])
        wrong = given if given and given != right["content"] else other
        yield {"prompt": asked, "chosen": [right], "rejected": [{"role": "assistant", "content": wrong}]}
