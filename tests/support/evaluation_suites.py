"""Suites and answers made by hand, for tests of what is computed from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from trivet.evaluation.outcomes import Outcome
from trivet.evaluation.suite import Suite, load_suite

SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "found": {"type": "boolean"}},
    "required": ["answer", "found"],
    "additionalProperties": False,
}


def suite_data(**changes: Any) -> dict[str, Any]:
    """A suite file's content: two arms, terse answers."""
    data: dict[str, Any] = {
        "version": 1,
        "data": "questions.jsonl",
        "unknown": ["I do not know."],
        "correct": ["exact_match", "says_unknown"],
        "baseline": "plain",
        "arms": {"plain": {"prompt": "answers@1"}, "rag": {"prompt": "answers@1", "retrieval": {"index": "facts"}}},
    }
    return {**data, **changes}


def write_suite(folder: Path, lines: Sequence[Mapping[str, Any]], **changes: Any) -> Path:
    """`suite.yaml` and its data in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(suite_data(**changes), sort_keys=False))
    return path


def make_suite(folder: Path, lines: Sequence[Mapping[str, Any]], **changes: Any) -> Suite:
    """The same, read."""
    return load_suite(write_suite(folder, lines, **changes))


def answered(suite: Suite, arm: str, texts: Sequence[str], **fields: Any) -> list[Outcome]:
    """One outcome per example of the part that has this arm, under the digest "d"."""
    part = next(part for part in suite.parts if arm in {item.name for item in part.arms})
    return [Outcome("d", arm, example.id, text, **fields) for example, text in zip(part.examples, texts, strict=True)]


def by_key(*groups: Sequence[Outcome]) -> dict[tuple[str, str, str], Outcome]:
    """As a log holds them."""
    return {outcome.key: outcome for group in groups for outcome in group}
