"""Who is told how far the start is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told about the stages of the start, which overlap."""

    def begin(self, stage: str) -> None:
        """A stage has begun."""
        ...

    def done(self, stage: str, detail: str = "") -> None:
        """A stage is ready."""
        ...

    def transferred(self, stage: str, done: int, total: int) -> None:
        """So many bytes of a stage's `total` are here; called often, and from any thread."""
        ...

    def note(self, text: str) -> None:
        """Something a person needs to know."""
        ...
