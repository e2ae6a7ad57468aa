"""What the console shows while a server starts: what is starting, how far, what is ready and where."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger(__name__)

LINE_EVERY = 5.0  # seconds
BAR_WIDTH = 30


class LoggedProgress:
    """One line of the log per stage, with the seconds that it took."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._transfers: dict[str, tuple[float, float, int]] = {}  # when it began, was told last, and where it began

    def begin(self, stage: str) -> None:
        """A stage has begun."""
        self._started[stage] = time.monotonic()
        logger.info("starting  %s", stage)

    def done(self, stage: str, detail: str = "") -> None:
        """A stage is ready."""
        seconds = time.monotonic() - self._started.get(stage, time.monotonic())
        logger.info("ready     %s (%.1f s)%s", stage, seconds, f": {detail}" if detail else "")

    def transferred(self, stage: str, done: int, total: int) -> None:
        """So many bytes of a stage's `total` are here: a line now and then, with the time that is left."""
        now = time.monotonic()
        started, at, first = self._transfers.setdefault(stage, (now, now, done))
        if done not in (first, total) and now - at < LINE_EVERY:
            return
        self._transfers[stage] = (started, now, first)
        speed = (done - first) / (now - started) if now > started else 0.0
        left = f", {(total - done) / speed:.0f} s left" if speed and done < total else ""
        share = done / total if total else 1.0
        filled = round(BAR_WIDTH * share)
        bar = "=" * filled + " " * (BAR_WIDTH - filled)
        logger.info(
            "fetching  %s [%s] %.0f%% (%.0f of %.0f MB%s)", stage, bar, 100 * share, done / 1e6, total / 1e6, left
        )

    def note(self, text: str) -> None:
        """Something a person needs to know."""
        logger.info("%s", text)
