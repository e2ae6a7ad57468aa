"""What finds nodes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Found:
    """All addresses (host:port) that are known now; None if that could not be found out, and why in `problem`."""

    known: frozenset[str] | None
    problem: str = ""


class Discovery(Protocol):
    """Goes on for ever; closing the generator ends it."""

    def watch(self) -> AsyncGenerator[Found, None]:
        """What is known, at first and whenever that may be something else. Never raises."""
        ...
