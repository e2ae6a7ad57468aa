"""What the console shows while a server starts: what is starting, how far, what is ready and where."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger(__name__)


class LoggedProgress:
    """One line of the log per stage, with the seconds that it took."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}

    def begin(self, stage: str) -> None:
        """A stage has begun."""
        self._started[stage] = time.monotonic()
        logger.info("starting  %s", stage)

    def done(self, stage: str, detail: str = "") -> None:
        """A stage is ready."""
        seconds = time.monotonic() - self._started.get(stage, time.monotonic())
        logger.info("ready     %s (%.1f s)%s", stage, seconds, f": {detail}" if detail else "")

    def note(self, text: str) -> None:
        """Something a person needs to know."""
        logger.info("%s", text)
