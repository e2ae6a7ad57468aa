"""What evaluations ask and of whom, which must not be learned; and what was learned, which must not be asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivet.cli.options.config import LoadConfig
from trivet.datasets.folder import MANIFEST
from trivet.datasets.questions import Learned
from trivet.datasets.row import Row, plain
from trivet.errors import ConfigError
from trivet.evaluation.suite import load_suite

SOURCES = "sources.jsonl"
TRAINING = "train.jsonl"


@dataclass(frozen=True, slots=True)
class Asked:
    """What evaluations have: `questions` as `plain` gives them, `units`, and of each suite how many, for a manifest."""

    questions: frozenset[str]
    units: frozenset[str]
    told: tuple[dict[str, Any], ...]


def suite_files(load: LoadConfig, named: Sequence[Path]) -> list[Path]:
    """The suites that are named (a file, or a folder with one), and all that lie in evals/ beside the configuration."""
    beside = sorted((load.path.resolve().parent / "evals").glob("*/suite.yaml"))
    files = [path / "suite.yaml" if path.is_dir() else path for path in named]
    return list(dict.fromkeys(path.resolve() for path in (*files, *beside)))


def asked_by(suites: Iterable[Path]) -> Asked:
    """All that the suites have; raises ConfigError for one that is wrong."""
    asked: set[str] = set()
    units: set[str] = set()
    told = []
    for path in suites:
        suite = load_suite(path)
        questions = {plain(example.question) for part in suite.parts for example in part.examples}
        told.append({"suite": suite.name, "questions": len(questions)})
        asked |= questions
        sources = path.parent / SOURCES
        if sources.is_file():
            units |= {str(line.get("unit", "")) for line in _lines(sources)}
    return Asked(frozenset(asked), frozenset(units), tuple(told))


def learned_by(exports: Iterable[Path]) -> tuple[Learned, list[dict[str, Any]]]:
    """Units and questions of exports' training files, and each export for a manifest; ConfigError for one that is
    wrong."""
    units: set[str] = set()
    questions: set[str] = set()
    told = []
    for folder in exports:
        if not (folder / MANIFEST).is_file() or not (folder / TRAINING).is_file():
            raise ConfigError(
                [f"{folder}:1: has no {MANIFEST} and {TRAINING}, expected a folder of trivet data export"]
            )
        trained = [line for line in _lines(folder / SOURCES) if line.get("file") == TRAINING]
        units |= {str(line[whose]) for line in trained for whose in ("unit", "rejected_unit") if line.get(whose)}
        chats = [line.get("messages") or line.get("prompt") or [] for line in _lines(folder / TRAINING)]
        questions |= {plain(message["content"]) for chat in chats for message in chat if message["role"] == "user"}
        told.append({"export": folder.name, "training": len(chats)})
    return Learned(frozenset(units), frozenset(questions)), told


def source(name: str, line: int, row: Row) -> dict[str, Any]:
    """Where a line of a file comes from, for `SOURCES`."""
    return {
        "file": name,
        "line": line,
        "request_id": row.request_id,
        "unit": row.unit,
        "source": row.source.name.lower(),
        "score": row.score,
        **({"rejected_unit": row.rejected_unit} if row.rejected_unit not in ("", row.unit) else {}),
    }


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except (OSError, ValueError) as error:
        raise ConfigError([f"{path}:1: cannot be read: {error}"]) from error
