"""On a machine that others use too: a window that they disturbed is measured again, while there is time for that."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from benchmarks.measuring.cpu_time import machine_seconds

LIMIT = 0.2  # cores that others may take
LOOK = 2.0  # seconds

Window = Callable[[], dict[str, Any]]


class Patience:
    """`seconds` is what may be spent on waiting and on measuring again, all in all."""

    def __init__(self, seconds: float, progress: Callable[[str], None]) -> None:
        self._left = seconds
        self._progress = progress

    def measure(self, window: Window) -> dict[str, Any]:
        """The result of `window`, which says in `others_cpu_seconds` what others took during its `seconds`."""
        while True:
            begin = time.monotonic()
            cell = window()
            cores = cell["others_cpu_seconds"] / cell["seconds"]
            if cores <= LIMIT or self._left <= 0:
                return cell
            self._wait_until_quiet(begin)
            self._left -= time.monotonic() - begin
            self._progress(f"others took {cores:.2f} cores: again ({max(0.0, self._left):.0f} s of patience left)")

    def _wait_until_quiet(self, begin: float) -> None:
        cores = float(os.cpu_count() or 1)
        while cores > LIMIT and time.monotonic() - begin < self._left:
            busy = machine_seconds()
            time.sleep(LOOK)
            cores = (machine_seconds() - busy) / LOOK
