"""Calls that an answer has to be, read while it is written.

The grammar leaves the model no other form than that of `trivet.types.request.RequiredCalls`, without white space, so
each character is looked at once.
"""

from __future__ import annotations

import json
import re
from typing import Protocol

from trivet.types.generation import CallDelta
from trivet.types.request import RequiredCalls

_HEAD = re.compile(r'[\[,]\{"name":("(?:[^"\\]|\\.)*"),"parameters":', re.DOTALL)
_LONGEST_HEAD = 4096  # characters: a name has at most 128, each of which JSON may write in 12
_OPENING, _CLOSING = "{[", "}]"


class CallsReader(Protocol):
    """Reads one answer."""

    def feed(self, text: str) -> list[CallDelta]:
        """Some more of it; ValueError for what has another form."""
        ...


def reader_of(required: RequiredCalls) -> CallsReader:
    """What reads an answer that has to be these."""
    return _OneCall(required.name) if required.name else _CallList()


class _OneCall:
    """The answer is the arguments."""

    def __init__(self, name: str) -> None:
        self._name = name

    def feed(self, text: str) -> list[CallDelta]:
        if not text:
            return []
        name, self._name = self._name, ""
        return [CallDelta(0, name=name, arguments=text)]


class _CallList:
    """The answer is a list of objects with `name` and `parameters`."""

    def __init__(self) -> None:
        self._index = -1
        self._head = ""  # as far as it is written, between two calls' arguments
        self._depth = 0  # of the arguments' braces
        self._in_text = self._escaped = False

    def feed(self, text: str) -> list[CallDelta]:
        deltas: list[CallDelta] = []
        while text:
            text = self._arguments(text, deltas) if self._depth else self._between(text, deltas)
        return deltas

    def _between(self, text: str, deltas: list[CallDelta]) -> str:
        """Look for the next call's arguments; returns what comes after their first brace."""
        self._head += text
        found = _HEAD.match(self._head.removeprefix("}") if self._index >= 0 else self._head)
        if found is None or found.end() == len(found.string):
            if len(self._head) > _LONGEST_HEAD:
                raise ValueError("the answer is no list of calls")
            return ""
        rest, self._head = found.string[found.end() :], ""
        if rest[0] not in _OPENING:
            raise ValueError("a call's arguments are no object")
        self._index += 1
        self._depth = 1
        deltas.append(CallDelta(self._index, name=json.loads(found[1]), arguments=rest[0]))
        return rest[1:]

    def _arguments(self, text: str, deltas: list[CallDelta]) -> str:
        """Pass arguments on; returns what comes after their last brace."""
        end = len(text)
        for position, character in enumerate(text):
            if self._in_text:
                if self._escaped:
                    self._escaped = False
                elif character == "\\":
                    self._escaped = True
                elif character == '"':
                    self._in_text = False
            elif character == '"':
                self._in_text = True
            elif character in _OPENING:
                self._depth += 1
            elif character in _CLOSING:
                self._depth -= 1
                if not self._depth:
                    end = position + 1
                    break
        deltas.append(CallDelta(self._index, arguments=text[:end]))
        return text[end:]
