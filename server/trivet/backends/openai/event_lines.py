"""The data of server-sent events, from bytes as they come.

https://html.spec.whatwg.org/multipage/server-sent-events.html; an event of OpenAI's API is one `data:` line.
"""

from __future__ import annotations

MAX_LINE = 256 << 10  # bytes; a usual event has some hundred
_DATA = b"data:"


class LineTooLong(ValueError):
    """A line has more bytes than any event that is meant well."""


class EventLines:
    """Feed it bytes, in pieces of any size. Work and memory are linear in them, and what is held is one line."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of the lines that are whole by now, without comments and other fields. Raises LineTooLong."""
        first, *others = piece.split(b"\n")
        self._held += first
        if len(self._held) > MAX_LINE:
            raise LineTooLong(f"a line of the answer has more than {MAX_LINE:,} bytes")
        if not others:
            return []
        lines = [bytes(self._held), *others[:-1]]
        self._held = bytearray(others[-1])
        if len(self._held) > MAX_LINE or any(len(line) > MAX_LINE for line in lines):
            raise LineTooLong(f"a line of the answer has more than {MAX_LINE:,} bytes")
        return [line[len(_DATA) :].strip() for line in lines if line.startswith(_DATA)]
