"""How long the observations of a rollout that has ended are kept."""

from __future__ import annotations

import logging
from collections.abc import Callable

from trivet.errors import StateUnavailable
from trivet.rollouts.control.timing import Timing
from trivet.rollouts.store import RolloutStore

logger = logging.getLogger(__name__)

KEEP_SECONDS = 7 * 86_400.0
PRUNE_SECONDS = 3600.0
_PAUSE_SECONDS = 0.5  # between two pieces of the work, for others


class Retention:
    """Deletes old observations from the store, while this gateway `leads`."""

    def __init__(self, store: RolloutStore, timing: Timing, leads: Callable[[], bool]) -> None:
        self._store = store
        self._timing = timing
        self._leads = leads

    async def run(self) -> None:
        """Each hour, until cancelled."""
        while True:
            await self._timing.sleep(PRUNE_SECONDS)
            if self._leads():
                await self._prune()

    async def _prune(self) -> None:
        total = 0
        try:
            while deleted := await self._store.prune(KEEP_SECONDS):
                total += deleted
                await self._timing.sleep(_PAUSE_SECONDS)
        except StateUnavailable as problem:
            logger.info("old observations are deleted an hour later: %s", problem)
        if total:
            logger.info("%d batches of observations of rollouts that ended long ago were deleted", total)
