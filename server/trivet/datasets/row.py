"""One example that is learned from."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

_WORDS = re.compile(r"\w+")


class Source(IntEnum):
    """Why an answer is held to be right, the surest first."""

    CORRECTED = 0
    PREFERRED = 1
    RATED = 2


@dataclass(frozen=True, slots=True)
class Row:
    """What was asked, and what the answer should be.

    `messages`: `role` and `content` each, the last one the user's. `rejected`: the worse answer of a pair, None without
    one. `unit`: whose it is; rows of one unit stay on one side of a split. `variables`: the request's, of the prompt.
    `rejected_unit`: whose the worse answer is, where it may be somebody else's; empty otherwise.
    """

    messages: tuple[Mapping[str, str], ...]
    target: str
    request_id: str
    unit: str
    source: Source
    score: float | None = None
    rejected: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    rejected_unit: str = ""

    @property
    def question(self) -> str:
        """The user's last message."""
        return self.messages[-1]["content"]

    @property
    def conversation(self) -> str:
        """What makes two rows the same: roles and words, however they are written."""
        return "\0".join(f"{message['role']}:{plain(message['content'])}" for message in self.messages)

    def as_chat(self, before: Sequence[Mapping[str, Any]] = (), failures: int = 1) -> dict[str, Any]:
        """As supervised training reads it. `before`: the prompt's messages.

        `failures`: the weight of a corrected one.
        """
        return {
            "messages": [*self._asked(before), {"role": "assistant", "content": self.target}],
            **self._weight(failures),
        }

    def as_pair(self, before: Sequence[Mapping[str, Any]] = (), failures: int = 1) -> dict[str, Any]:
        """As preference training reads it."""
        return {
            "prompt": self._asked(before),
            "chosen": [{"role": "assistant", "content": self.target}],
            "rejected": [{"role": "assistant", "content": self.rejected}],
            **self._weight(failures),
        }

    def _asked(self, before: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """A client's system text follows the prompt's own, as the server lays them out."""
        if not before or before[0]["role"] != "system" or self.messages[0]["role"] != "system":
            return [*before, *self.messages]
        told = f"{before[0]['content']}\n\n{self.messages[0]['content']}"
        return [{"role": "system", "content": told}, *before[1:], *self.messages[1:]]

    def _weight(self, failures: int) -> dict[str, int]:
        return {"weight": failures} if failures > 1 and self.source is Source.CORRECTED else {}


def plain(text: str) -> str:
    """A text's words alone: two questions that differ in case, blanks or punctuation only are the same."""
    return " ".join(_WORDS.findall(unicodedata.normalize("NFKC", text).casefold()))
