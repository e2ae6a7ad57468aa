"""What a response holds: items of text, of thoughts and of calls, while they are written and when they are whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from trivet.types.generation import Logprob, TokenLogprob

Status = Literal["in_progress", "completed", "incomplete"]


@dataclass(slots=True)
class TextItem:
    """A message with a text."""

    id: str
    pieces: list[str] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)

    def part(self, text: str) -> dict[str, Any]:
        """Its content with this text: nothing at first, then all."""
        logprobs = self.logprobs if text else []
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}

    def shown(self, status: Status) -> dict[str, Any]:
        """As it is told."""
        content = [] if status == "in_progress" else [self.part(self.text)]
        return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content}


@dataclass(slots=True)
class ReasoningItem:
    """What the model thinks."""

    id: str
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)

    def part(self, text: str) -> dict[str, Any]:
        """Its content with this text."""
        return {"type": "reasoning_text", "text": text}

    def shown(self, status: Status) -> dict[str, Any]:
        """As it is told."""
        content = [] if status == "in_progress" else [self.part(self.text)]
        return {"id": self.id, "type": "reasoning", "status": status, "summary": [], "content": content}


@dataclass(slots=True)
class CallItem:
    """A function that is to be called."""

    id: str
    call_id: str
    name: str
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of its arguments."""
        return "".join(self.pieces)

    def shown(self, status: Status) -> dict[str, Any]:
        """As it is told."""
        arguments = "" if status == "in_progress" else self.text
        found = {"id": self.id, "type": "function_call", "status": status, "call_id": self.call_id}
        return {**found, "name": self.name, "arguments": arguments}


OutputItem = TextItem | ReasoningItem | CallItem


def logprobs_of(tokens: Iterable[TokenLogprob]) -> list[dict[str, Any]]:
    """Tokens' log probabilities as they are told."""
    return [{**_logprob(token.written), "top_logprobs": _logprobs(token.top)} for token in tokens]


def _logprobs(found: Sequence[Logprob]) -> list[dict[str, Any]]:
    return [_logprob(one) for one in found]


def _logprob(found: Logprob) -> dict[str, Any]:
    """A part of a character has no text of its own, and its bytes are not known."""
    known = [] if "\ufffd" in found.token else list(found.token.encode())
    return {"token": found.token, "logprob": found.logprob, "bytes": known}
