"""A tiny base model that can chat, and recipes for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.engine.tiny_model import make_model

TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def make_base(folder: Path) -> Path:
    """The tiny model with a chat template."""
    make_model(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": TEMPLATE}))
    return folder


def asked(question: str, answer: str) -> dict[str, Any]:
    """A chat as a line of a file."""
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def sums(numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Chats that are all different."""
    return [asked(f"{number} and one?", f"{number + 1}") for number in numbers]


def write_lines(path: Path, lines: Sequence[dict[str, Any]]) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def write_recipe(folder: Path, model: Path, **changes: Any) -> Path:
    """A recipe of some 20 quick steps with its chats beside it; None takes a field out."""
    write_lines(folder / "train.jsonl", sums(range(300)))
    write_lines(folder / "held-out.jsonl", sums(range(1000, 1006)))
    training = {"rank": 4, "alpha": 8, "steps": 20, "lr": 0.005, "warm_up": 2, "batch_tokens": 256, "seed": 3}
    content: dict[str, Any] = {
        "name": "sums",
        "version": "1",
        "base": {"path": str(model), "name": "tiny"},
        "data": "train.jsonl",
        "held_out": "held-out.jsonl",
        "training": training | changes.pop("training", {}),
        "checkpoint_steps": 4,
        **changes,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return path
