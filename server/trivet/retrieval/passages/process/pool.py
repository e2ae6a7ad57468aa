"""Splits documents in a few processes, in turns that are fair between tenants."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivet.errors import Overloaded, RetrievalUnavailable
from trivet.retrieval.passages.limits import DEFAULT_LIMITS, DocumentLimits
from trivet.retrieval.passages.process.fair_queue import FairQueue
from trivet.retrieval.passages.process.messages import SplitRequest
from trivet.retrieval.passages.process.splitting_process import SplittingProcess
from trivet.retrieval.passages.splitting import Chunk
from trivet.retrieval.settings import IndexSettings
from trivet.types.passage import Document

_GRACE = 0.25  # seconds that a document whose caller has gone may still take: about what another start takes
_RETRY_AFTER = 1.0  # seconds


@dataclass(eq=False, slots=True)
class _Job:
    request: SplitRequest
    patient: bool
    done: asyncio.Future[list[Chunk]]


class SplittingPool:
    """For all indexes together. Use from one event loop.

    A tenant's documents are split in all processes but one, so that another tenant's seldom wait for one that takes
    long. When one is taken the next one is started, so that another tenant's first document does not wait for a start.
    """

    def __init__(self, limits: DocumentLimits = DEFAULT_LIMITS, *, processes: int = 2, max_queued: int = 64) -> None:
        """`max_queued`: documents of impatient callers that may wait for their turn."""
        self._all = [SplittingProcess(limits) for _ in range(processes)]
        self._idle = self._all[::-1]  # the one that was last at work first: others need not be started
        self._of_one_tenant = max(1, processes - 1)
        self._max_queued = max_queued
        self._queue: FairQueue[_Job] = FairQueue()
        self._running: dict[_Job, SplittingProcess] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def processes(self) -> list[SplittingProcess]:
        """To be looked at."""
        return self._all

    @property
    def max_queued(self) -> int:
        """Documents of impatient callers that may wait for their turn."""
        return self._max_queued

    @property
    def queued(self) -> int:
        """Documents that wait for their turn."""
        return len(self._queue)

    async def split(
        self, document: Document, settings: IndexSettings, export: Path, room: int, *, patient: bool = True
    ) -> list[Chunk]:
        """The passages of a document (see `Splitter`); `export`: folder of the index's embedding model.

        Cancelled, it ends what is being done for it. One that is not `patient` raises Overloaded when too many wait.
        Raises DocumentRejected, RetrievalUnavailable when no process can be started or the pool is closed.
        """
        if self._closed:
            raise RetrievalUnavailable("splitting documents is stopped")
        done: asyncio.Future[list[Chunk]] = asyncio.get_running_loop().create_future()
        job = _Job(SplitRequest(document, settings, export, room), patient, done)
        if not patient and not (self._idle and self._queue.serving(document.tenant) < self._of_one_tenant):
            self._make_room(document.tenant)
        self._queue.put(document.tenant, job)
        self._dispatch()
        try:
            return await done
        finally:
            self._leave(document.tenant, job)

    def close(self) -> None:
        """Kill the processes; callers get RetrievalUnavailable. A second call does nothing."""
        self._closed = True
        for process in self._all:
            process.close()
        while (taken := self._queue.take()) is not None:
            tenant, job = taken
            self._queue.charge(tenant, 0.0)
            _fail(job, RetrievalUnavailable("splitting documents is stopped"))

    def _make_room(self, tenant: str) -> None:
        """Let the newcomer in, if need be at the cost of who has the most waiting; raises Overloaded."""
        if len(self._queue) < self._max_queued:
            return
        error = Overloaded("documents", self._max_queued, _RETRY_AFTER)
        if not len(self._queue):
            raise error
        longest, job, count = self._queue.newest_of_longest()
        if count <= self._queue.waiting(tenant) + 1 or job.patient:
            raise error
        self._queue.remove(longest, job)
        _fail(job, error)

    def _dispatch(self) -> None:
        while self._idle and not self._closed:
            if (taken := self._queue.take(self._of_one_tenant)) is None:
                return
            tenant, job = taken
            process = self._running[job] = self._idle.pop()
            self._spawn(self._run(tenant, job, process))
            if self._idle and self._idle[-1].pid is None:
                self._spawn(self._idle[-1].start())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, tenant: str, job: _Job, process: SplittingProcess) -> None:
        started = time.monotonic()
        try:
            chunks = await process.split(job.request)
            if not job.done.done():
                job.done.set_result(chunks)
        except Exception as error:  # it is its caller's
            _fail(job, error)
        finally:
            self._queue.charge(tenant, time.monotonic() - started)
            del self._running[job]
            self._idle.append(process)
            self._dispatch()

    def _leave(self, tenant: str, job: _Job) -> None:
        """The caller has its answer, or does not wait for it any more."""
        if self._queue.remove(tenant, job) or job not in self._running:
            return
        if job.done.cancelled():
            asyncio.get_running_loop().call_later(_GRACE, self._give_up, job)

    def _give_up(self, job: _Job) -> None:
        if (process := self._running.get(job)) is not None:
            process.give_up()


def _fail(job: _Job, error: Exception) -> None:
    if not job.done.done():
        job.done.set_exception(error)
