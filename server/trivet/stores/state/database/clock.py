"""The clock of a store that is a file: its owner's, made to go forward and never to jump."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import Connection, func, select, text

from trivet.stores.state.schema import batches, rollouts

Clock = Callable[[], float]


class SteadyClock:
    """Seconds since 1970 as the system had it at the start, counted on from there: it is set, this one is not.

    CLOCK_BOOTTIME goes on while the machine sleeps (clock_gettime(2)); where there is none, the monotonic clock does.
    """

    def __init__(self, wall: Clock = time.time) -> None:
        self._offset = wall() - _elapsed()

    def __call__(self) -> float:
        return _elapsed() + self._offset

    def not_before(self, at: float) -> None:
        """Never show less: what the file has was written earlier, even if the system's clock was set back since."""
        self._offset = max(self._offset, at - _elapsed())


def now(connection: Connection) -> float:
    """The store's clock, in seconds since 1970: PostgreSQL's own, whatever a gateway's says."""
    if connection.dialect.name == "sqlite":
        return float(connection.execute(text("SELECT store_clock()")).scalar_one())
    return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())


def latest(connection: Connection) -> float:
    """The latest time in a store of ours, 0 if there is none."""
    changed = connection.execute(select(func.max(rollouts.c.changed_at))).scalar_one()
    observed = connection.execute(select(func.max(batches.c.at))).scalar_one()
    return max(changed or 0.0, observed or 0.0)


def _elapsed() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
