"""Progress of a node in a process that somebody else runs: into that process's log."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


class LoggedProgress:
    """What a person needs to know, and no more."""

    def begin(self, stage: str) -> None:
        """A stage has begun."""

    def done(self, stage: str, detail: str = "") -> None:
        """A stage is ready."""

    def transferred(self, stage: str, done: int, total: int) -> None:
        """Nothing is fetched."""

    def note(self, text: str) -> None:
        """Something a person needs to know."""
        logger.warning("engine node: %s", text)
