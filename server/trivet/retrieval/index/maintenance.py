"""What an index does by itself: finish failed writes, note how far it is, renew a worn or outdated snapshot."""

from __future__ import annotations

import asyncio
import logging
import time

from trivet.errors import TrivetError
from trivet.retrieval.index.live import LiveSnapshot
from trivet.retrieval.index.renewal import Renewal
from trivet.retrieval.index.retained import RetainedSnapshots
from trivet.retrieval.settings import IndexSettings, with_present_terms
from trivet.retrieval.snapshot.snapshot import Snapshot

_log = logging.getLogger(__name__)

_EVERY = 1.0
_RENEW_NOT_BEFORE = 60.0  # seconds after the start: a start is busy enough
_RENEW_AGAIN = 900.0  # seconds after one that failed


class Maintenance:
    """One task; one renewal at a time."""

    def __init__(
        self, settings: IndexSettings, live: LiveSnapshot, retained: RetainedSnapshots, renewal: Renewal
    ) -> None:
        self._settings = settings
        self._live = live
        self._retained = retained
        self._renewal = renewal
        self._task: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._learning: asyncio.Task[None] | None = None
        self._renew_from = 0.0
        self._noted = (-1, -1)

    @property
    def worn(self) -> bool:
        """So much was written to the live snapshot that another one of the same way would search faster."""
        most = self._settings.rebuild_after
        return self._renewal.optimises and 0 < most <= self._live.snapshot.unoptimised

    @property
    def outdated(self) -> bool:
        """Its terms were made by the rules of an earlier version: some names are not found by them."""
        way = self._live.snapshot.way
        return with_present_terms(way) != way

    def start(self) -> None:
        """Begin."""
        self._renew_from = time.monotonic() + _RENEW_NOT_BEFORE
        self._task = asyncio.create_task(self._keep(), name=f"keep-{self._settings.name}")

    async def close(self) -> None:
        """Stop; a renewal goes on at the next start."""
        tasks = [task for task in (self._task, self._renewing, self._learning) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._note()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self._live.keep()
                await self._live.reconcile()
                await self._live.repair()
                await self._note()
            except TrivetError as error:
                _log.info("index %s: not looked after for now: %s", self._settings.name, error)
                continue
            except Exception:  # nobody else would finish what has failed
                _log.exception("index %s: not looked after for now", self._settings.name)
                continue
            self._learn_words()
            idle = self._renewing is None or self._renewing.done()
            if (self.worn or self.outdated) and idle and time.monotonic() >= self._renew_from:
                self._renewing = asyncio.create_task(self._renew(), name=f"renew-{self._settings.name}")

    async def _note(self) -> None:
        if self._live.tenure.shared:
            return  # this gateway does not know what the others have applied: at its next start it compares all
        snapshot = self._live.snapshot
        state = (snapshot.progress.position, snapshot.unoptimised)
        if state != self._noted:
            await self._retained.note(snapshot)
            self._noted = state

    def _learn_words(self) -> None:
        """Of the live snapshot, if questions are corrected; other gateways write what this one does not notice."""
        snapshot = self._live.snapshot
        position = None if self._live.tenure.shared else snapshot.progress.position
        busy = self._learning is not None and not self._learning.done()
        if snapshot.spelling is not None and not busy and snapshot.spelling.due(position):
            self._learning = asyncio.create_task(self._read_words(snapshot, position))

    async def _read_words(self, snapshot: Snapshot, position: int | None) -> None:
        assert snapshot.spelling is not None
        try:
            await snapshot.spelling.read(position)
        except TrivetError as error:
            _log.info("index %s: its words were not read: %s", self._settings.name, error)
        except Exception:
            _log.exception("index %s: its words were not read", self._settings.name)

    async def _renew(self) -> None:
        """In the live one's own way, but for outdated terms, whatever the configuration says now: that is for a person
        to change.

        The worn one is not kept: what a rollback would return to stays what an operator left there.
        """
        way = with_present_terms(self._live.snapshot.way)
        try:
            async for _ in self._renewal.renew(way, keep=False):
                pass
            _log.info("index %s: renewed, snapshot %s", self._settings.name, self._live.snapshot.name)
        except TrivetError as error:
            _log.error("index %s: not renewed: %s", self._settings.name, error)
            self._renew_from = time.monotonic() + _RENEW_AGAIN
        except Exception:
            _log.exception("index %s: not renewed", self._settings.name)
            self._renew_from = time.monotonic() + _RENEW_AGAIN
