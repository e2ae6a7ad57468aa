"""Training data as JSON lines: read whole, each problem told by file, line and field."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from trivet.errors import ConfigError
from trivet.training.chats import Message

ROLES = ("system", "user", "assistant")
MOST_PROBLEMS = 20  # of one set: a file in another form has one on every line
MOST_WEIGHT = 100
_FIELDS = {"role", "content", "learned"}


@dataclass(frozen=True, slots=True)
class Located:
    """Something to learn from, and where it stands; lines count from 1."""

    path: Path
    line: int

    @property
    def asked(self) -> str:
        """What is the same for two that ask the same."""
        raise NotImplementedError

    def problem(self, field: str, text: str) -> str:
        """`file:line: field: text`."""
        return f"{self.path}:{self.line}: {field}: {text}"


LocatedT = TypeVar("LocatedT", bound=Located)
Problems = Callable[[Any], Iterable[tuple[str, str]]]


def read_lines(
    paths: Sequence[Path], kind: str, problems_of: Problems, located: Callable[[Any, Path, int], LocatedT]
) -> tuple[list[LocatedT], str]:
    """What all files hold, and the SHA-256 over their bytes, one after the other; ConfigError with a line per problem.

    `kind`: what a line is. Empty lines are passed over.
    """
    total = hashlib.sha256()
    kept: list[LocatedT] = []
    problems: list[str] = []
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as error:
            problems.append(f"{path}:1: cannot be read: {error.strerror}")
            continue
        total.update(content)
        before = len(kept), len(problems)
        for number, line in enumerate(content.split(b"\n"), start=1):
            if line.strip():
                found, wrong = _read_line(line, problems_of)
                problems += [f"{path}:{number}: {field}: {text}" for field, text in wrong]
                kept += [] if wrong else [located(found, path, number)]
        if before == (len(kept), len(problems)):
            problems.append(f"{path}:1: has no {kind}")
    refuse(problems)
    return kept, total.hexdigest()


def refuse(problems: Sequence[str]) -> None:
    """ConfigError if there are any; the first ones, and how many more."""
    if len(problems) > MOST_PROBLEMS:
        problems = [*problems[:MOST_PROBLEMS], f"and {len(problems) - MOST_PROBLEMS} more"]
    if problems:
        raise ConfigError(problems)


def asked_in(messages: Iterable[Message]) -> str:
    """A conversation as one text."""
    return json.dumps([[message["role"], message["content"]] for message in messages])


def _read_line(line: bytes, problems_of: Problems) -> tuple[Any, list[tuple[str, str]]]:
    try:
        found = json.loads(line, object_pairs_hook=_unrepeated)
    except (ValueError, RecursionError) as error:
        return None, [("(line)", f"is not sound JSON: {error}")]
    return found, list(problems_of(found))


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def weight_problems(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with a line's `weight`."""
    weight = found.get("weight", 1)
    if type(weight) is not int or not 1 <= weight <= MOST_WEIGHT:
        yield "weight", f"is {weight!r}, expected a whole number from 1 to {MOST_WEIGHT}"


def message_problems(at: str, messages: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with a list of messages that stands at `at`."""
    if not isinstance(messages, list) or not messages:
        yield at, "expected a list of messages, at least one"
        return
    for index, message in enumerate(messages):
        yield from _message_problems(f"{at}[{index}]", message)


def _message_problems(at: str, message: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(message, dict):
        yield at, f"is a {type(message).__name__}, expected an object with role and content"
        return
    for name in sorted(set(message) - _FIELDS):
        yield f"{at}.{name}", f"unknown field, expected only {', '.join(sorted(_FIELDS))}"
    if message.get("role") not in ROLES:
        yield f"{at}.role", f"is {message.get('role')!r}, expected {', '.join(ROLES)}"
    if not isinstance(message.get("content"), str) or not message["content"]:
        yield f"{at}.content", f"is {message.get('content')!r}, expected text"
    if "learned" in message and not isinstance(message["learned"], bool):
        yield f"{at}.learned", f"is {message['learned']!r}, expected true or false"
    if "learned" in message and message.get("role") != "assistant":
        yield f"{at}.learned", "only messages of the assistant are learned"
