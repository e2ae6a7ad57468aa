"""What a distant place has, remembered: whoever asks does not wait for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Lock, Thread

from trivet.adapters.sources.source_file import SourceBroken
from trivet.errors import TrivetError
from trivet.types.variant import VersionRef

FRESH_SECONDS = 10.0
_log = logging.getLogger(__name__)


class Listing:
    """`read` blocks; calling this does not. Any thread may call it."""

    def __init__(self, read: Callable[[], list[VersionRef]]) -> None:
        self._read = read
        self._known: list[VersionRef] = []
        self._read_at = -FRESH_SECONDS
        self._reading = Lock()

    def __call__(self) -> list[VersionRef]:
        """What the last listing had: nothing before the first, and the old one while the place cannot be read."""
        if time.monotonic() - self._read_at >= FRESH_SECONDS and self._reading.acquire(blocking=False):
            Thread(target=self._refresh, name="adapter-listing", daemon=True).start()
        return self._known

    def _refresh(self) -> None:
        try:
            self._known = self._read()
        except (SourceBroken, TrivetError) as problem:
            _log.warning("adapters cannot be listed: %s", problem)
        finally:
            self._read_at = time.monotonic()
            self._reading.release()
