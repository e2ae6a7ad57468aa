"""Pairs of answers from JSON lines: `{"prompt": [...], "chosen": [...], "rejected": [...]}`, a pair a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivet.training.chats import Chat
from trivet.training.files.json_lines import Located, asked_in, message_problems, read_lines, weight_problems

_ANSWERS = ("chosen", "rejected")
_PARTS = ("prompt", *_ANSWERS)


@dataclass(frozen=True, slots=True)
class LocatedPair(Located):
    """Two answers to one prompt, and where they stand. `weight`: how often an epoch has them."""

    prompt: Chat
    chosen: Chat
    rejected: Chat
    weight: int = 1

    @property
    def asked(self) -> str:
        """What is the same for two pairs that ask the same."""
        return asked_in(self.prompt)


@dataclass(frozen=True, slots=True)
class PairSet:
    """All pairs of some files, in their order. `digest`: SHA-256 over the files' bytes, one after the other."""

    pairs: tuple[LocatedPair, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.pairs)


def read_pairs(paths: Sequence[Path]) -> PairSet:
    """Read and check the files; ConfigError with one line per problem. Empty lines are passed over."""
    pairs, digest = read_lines(paths, "pair", _problems, _located)
    return PairSet(tuple(pairs), digest)


def _located(found: Any, path: Path, line: int) -> LocatedPair:
    return LocatedPair(path, line, found["prompt"], found["chosen"], found["rejected"], found.get("weight", 1))


def _problems(found: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(found, dict):
        yield "(line)", f"is a {type(found).__name__}, expected an object with {', '.join(_PARTS)}"
        return
    for name in sorted(set(found) - {*_PARTS, "weight"}):
        yield name, f"unknown field, expected only {', '.join(_PARTS)} or weight"
    yield from weight_problems(found)
    wrong = [problem for name in _PARTS for problem in message_problems(name, found.get(name))]
    yield from wrong
    if wrong:
        return
    if found["prompt"][-1]["role"] != "user":
        yield f"prompt[{len(found['prompt']) - 1}].role", "a prompt ends with a user message"
    for name in _ANSWERS:
        if [message["role"] for message in found[name]] != ["assistant"]:
            yield name, "expected one message of the assistant"
    if found["chosen"][0]["content"] == found["rejected"][0]["content"]:
        yield "rejected", "is the chosen answer"
