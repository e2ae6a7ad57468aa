"""Chats from JSON lines, read whole: one `{"messages": [...]}` a line, each problem told by file, line and field."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivet.errors import ConfigError
from trivet.training.chats import Chat

ROLES = ("system", "user", "assistant")
MOST_PROBLEMS = 20  # of one set: a file in another form has one on every line
_FIELDS = {"role", "content", "learned"}


@dataclass(frozen=True, slots=True)
class LocatedChat:
    """A chat and where it stands; lines count from 1."""

    chat: Chat
    path: Path
    line: int

    def problem(self, field: str, text: str) -> str:
        """`file:line: field: text`."""
        return f"{self.path}:{self.line}: {field}: {text}"


@dataclass(frozen=True, slots=True)
class ChatSet:
    """All chats of some files, in their order. `digest`: SHA-256 over the files' bytes, one after the other."""

    chats: tuple[LocatedChat, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.chats)


def read_chats(paths: Sequence[Path]) -> ChatSet:
    """Read and check the files; ConfigError with one line per problem. Empty lines are passed over."""
    total = hashlib.sha256()
    chats: list[LocatedChat] = []
    problems: list[str] = []
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as error:
            problems.append(f"{path}:1: cannot be read: {error.strerror}")
            continue
        total.update(content)
        before = len(chats), len(problems)
        for number, line in enumerate(content.split(b"\n"), start=1):
            if line.strip():
                _read_line(path, number, line, chats, problems)
        if before == (len(chats), len(problems)):
            problems.append(f"{path}:1: has no chat")
    _refuse(problems)
    return ChatSet(tuple(chats), total.hexdigest())


def refuse_overlap(training: ChatSet, held_out: ChatSet) -> None:
    """ConfigError if a held-out chat asks what a training chat asks: its score would tell nothing."""
    known = {_asked(located.chat): located for located in training.chats}
    problems = []
    for located in held_out.chats:
        other = known.get(_asked(located.chat))
        if other is not None:
            problems.append(located.problem("messages", f"is in the training data too, at {other.path}:{other.line}"))
    _refuse(problems)


def _asked(chat: Chat) -> str:
    return json.dumps([[message["role"], message["content"]] for message in chat[:-1]])


def _refuse(problems: Sequence[str]) -> None:
    if len(problems) > MOST_PROBLEMS:
        problems = [*problems[:MOST_PROBLEMS], f"and {len(problems) - MOST_PROBLEMS} more"]
    if problems:
        raise ConfigError(problems)


def _read_line(path: Path, number: int, line: bytes, chats: list[LocatedChat], problems: list[str]) -> None:
    try:
        found = json.loads(line, object_pairs_hook=_unrepeated)
    except (ValueError, RecursionError) as error:
        problems.append(f"{path}:{number}: (line): is not sound JSON: {error}")
        return
    located = LocatedChat(found.get("messages", []) if isinstance(found, dict) else [], path, number)
    wrong = [located.problem(field, text) for field, text in _problems(found)]
    problems.extend(wrong)
    if not wrong:
        chats.append(located)


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def _problems(found: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(found, dict):
        yield "(line)", f"is a {type(found).__name__}, expected an object with messages"
        return
    for name in sorted(set(found) - {"messages"}):
        yield name, "unknown field, expected only messages"
    messages = found.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "messages", "expected a list of messages, at least one"
        return
    wrong = [problem for index, message in enumerate(messages) for problem in _message_problems(index, message)]
    yield from wrong
    if wrong:
        return
    if messages[-1]["role"] != "assistant":
        yield f"messages[{len(messages) - 1}].role", "a chat ends with an assistant message"
    elif not any(message["role"] == "assistant" and message.get("learned", True) for message in messages):
        yield "messages", "no message is learned"


def _message_problems(index: int, message: Any) -> Iterator[tuple[str, str]]:
    at = f"messages[{index}]"
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
