"""Chats from JSON lines, read whole: one `{"messages": [...]}` a line, each problem told by file, line and field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivet.training.chats import Chat
from trivet.training.files.json_lines import Located, asked_in, message_problems, read_lines, refuse, weight_problems

_FIELDS = {"messages", "weight", "document"}


@dataclass(frozen=True, slots=True)
class LocatedChat(Located):
    """A chat and where it stands. `weight`: how often an epoch has it. `documents`: of which one has to be cited."""

    chat: Chat
    weight: int = 1
    documents: tuple[str, ...] = ()

    @property
    def asked(self) -> str:
        """What is the same for two chats that ask the same."""
        return asked_in(self.chat[:-1])


@dataclass(frozen=True, slots=True)
class ChatSet:
    """All chats of some files, in their order. `digest`: SHA-256 over the files' bytes, one after the other."""

    chats: tuple[LocatedChat, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.chats)


def read_chats(paths: Sequence[Path]) -> ChatSet:
    """Read and check the files; ConfigError with one line per problem. Empty lines are passed over."""
    chats, digest = read_lines(paths, "chat", _problems, _located)
    return ChatSet(tuple(chats), digest)


def refuse_overlap(training: Sequence[Located], held_out: Sequence[Located]) -> None:
    """ConfigError if something held out asks what the training asks: its score would tell nothing."""
    known = {located.asked: located for located in training}
    problems = []
    for located in held_out:
        other = known.get(located.asked)
        if other is not None:
            problems.append(located.problem("messages", f"is in the training data too, at {other.path}:{other.line}"))
    refuse(problems)


def _located(found: Any, path: Path, line: int) -> LocatedChat:
    documents = found.get("document", ())
    named = (documents,) if isinstance(documents, str) else tuple(documents)
    return LocatedChat(path, line, found["messages"], found.get("weight", 1), named)


def _problems(found: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(found, dict):
        yield "(line)", f"is a {type(found).__name__}, expected an object with messages"
        return
    for name in sorted(set(found) - _FIELDS):
        yield name, "unknown field, expected only messages, weight or document"
    yield from weight_problems(found)
    yield from _document_problems(found)
    messages = found.get("messages")
    wrong = list(message_problems("messages", messages))
    yield from wrong
    if wrong:
        return
    assert isinstance(messages, list)
    if messages[-1]["role"] != "assistant":
        yield f"messages[{len(messages) - 1}].role", "a chat ends with an assistant message"
    elif not any(message["role"] == "assistant" and message.get("learned", True) for message in messages):
        yield "messages", "no message is learned"


def _document_problems(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    documents = found.get("document", "a")
    listed = documents if isinstance(documents, list) else [documents]
    if not listed or not all(isinstance(name, str) and name for name in listed):
        yield "document", f"is {documents!r}, expected a document's id, or a list of them"
