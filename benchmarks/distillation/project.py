"""A project whose route has a long prompt, and the recipe that distils it."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measuring.repository import ROOT

sys.path.insert(0, str(ROOT / "models" / "demo"))

import chats
import tickets

NAME = "short-tickets"
TEACHER, BASELINE = "prompt+adapter-2", "prompt"
REPLAYED = 120


def write(folder: Path, *, questions: int, steps: int, loss: float, saving: float, bare: bool) -> Path:
    """Configuration, questions, replayed chats and recipe; gives the recipe. What is there already stays."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapters").mkdir(exist_ok=True)
    (folder / "trivet.yaml").write_text(yaml.safe_dump(_configuration(), sort_keys=False))
    _lines(folder / "questions.jsonl", islice(_questions(), questions))
    _lines(folder / "replay.jsonl", islice(_replayed(), REPLAYED))
    path = folder / "distill.yaml"
    path.write_text(yaml.safe_dump(_recipe(steps, loss, saving, bare), sort_keys=False))
    return path


def _configuration() -> dict[str, Any]:
    """The demo's, with a folder of adapters of its own; it has no route but the suite's arms."""
    demo = yaml.safe_load((ROOT / "trivet.yaml").read_text())
    backend = demo["backends"]["local"] | {"model": str(ROOT / "models" / "demo" / "weights")}
    variant = demo["routes"]["tickets"]["variants"]["sorter-2"] | {"weight": 1}
    return {
        "version": 1,
        "backends": {"local": backend},
        "prices": demo["prices"],
        "prompts": str(ROOT / "prompts"),
        "adapters": [str(ROOT / "adapters"), "adapters"],
        "routes": {"tickets": {"variants": {"sorter": variant}}},
    }


def _recipe(steps: int, loss: float, saving: float, bare: bool) -> dict[str, Any]:
    start = {} if bare else {"start": str(ROOT / "adapters" / "ticket-sorter" / "2")}
    return {
        "name": NAME,
        "version": "1",
        "suite": str(ROOT / "evals" / "tickets"),
        "teacher": TEACHER,
        "baseline": BASELINE,
        "prompt": "minimal@1",
        "questions": {"files": ["questions.jsonl"]},
        "held_out": 0.05,
        "replay": ["replay.jsonl"],
        "base": {"path": str(ROOT / "models" / "demo" / "weights"), "name": "trivet-demo"},
        "training": {
            "rank": 8,
            "alpha": 16,
            "steps": steps,
            "lr": 0.0025 if bare else 0.0005,
            "batch_tokens": 1024,
            **start,
        },
        "accept": {"loss": loss, "saving": saving},
        "price_per_hour": 0.10,
    }


def _questions() -> Iterator[dict[str, Any]]:
    """Tickets in the phrasings of trainings, without their queues: the teacher alone says what they are."""
    rng = random.Random("distillation")
    while True:
        yield {"question": tickets.ticket(rng, rng.choice(tickets.LABELS), "train")}


def _replayed() -> Iterator[dict[str, Any]]:
    """Reading, out of the base's own training."""
    found = (chat for chat in tickets.chats(chats.SEED + 1) if chat[-1]["content"] not in tickets.LABELS)
    return ({"messages": chat} for chat in found)


def _lines(path: Path, lines: Iterator[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
