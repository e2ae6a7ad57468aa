"""The embedding process as its parent sees it: started with the first text, started again when it dies, bounded."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from trivet.errors import DocumentRejected, RetrievalUnavailable
from trivet.fairness.fair_semaphore import FairSemaphore
from trivet.retrieval.embedding.onnx_model import Vector
from trivet.retrieval.processes.child import ChildProcess
from trivet.retrieval.processes.frames import BrokenFrame, Frame, encode_frame

_log = logging.getLogger(__name__)

_MAX_QUEUED = 2  # texts: while one is embedded, the next one is at hand
_TRIES = 2
_RETRY_START = 1.0  # seconds after a start that failed in which no other is tried


class EmbeddingProcess:
    """Embeds passages in a child process of low priority, one text at a time, so that queries are not slowed by it.

    Callers wait while too many texts are queued. Tenants take turns, and within a tenant its callers, text by text: a
    short document waits neither for all of a long one nor for another tenant's many. A caller that is cancelled gives
    up its places at once. When the process dies, its text is tried once more in a new one. Use from one event loop.
    """

    def __init__(
        self,
        export: Path,
        *,
        max_queued: int = _MAX_QUEUED,
        start_timeout: float = 60.0,
        text_timeout: float = 60.0,
    ) -> None:
        """`export`: folder of the exported model. Timeouts in seconds; a process that exceeds one is killed."""
        self._export = export
        self._start_timeout = start_timeout
        self._text_timeout = text_timeout
        self._semaphore = FairSemaphore(max_queued, max(1, max_queued // 2))
        self._queued = 0
        # It alone talks to the process and starts it: the kernel ends a child with the thread that started it.
        self._thread = ThreadPoolExecutor(1, "embed-passages")
        self._child: ChildProcess | None = None
        self._starts = 0
        self._no_start_before = 0.0
        self._closed = False

    @property
    def queued(self) -> int:
        """Texts that have a place and no vector yet."""
        return self._queued

    @property
    def pid(self) -> int | None:
        """Process id of the child, None before the first text."""
        return self._child.pid if self._child is not None else None

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return max(0, self._starts - 1)

    async def embed(self, texts: Sequence[str], tenant: str = "") -> list[Vector]:
        """Their vectors (dimension,), in order; `tenant`: whose turns they take.

        Raises RetrievalUnavailable when the process cannot be started or dies twice over a text, DocumentRejected when
        the model cannot read one.
        """
        waiting: list[asyncio.Future[Vector]] = []
        try:
            for text in texts:
                await self._semaphore.acquire(tenant)
                waiting.append(self._submit(text, tenant))
            return await asyncio.gather(*waiting)
        finally:
            for future in waiting:
                future.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)  # one that failed as well has been heard

    def close(self) -> None:
        """Kill the process; callers that wait get RetrievalUnavailable. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._child is not None:
            self._child.kill()
        self._thread.submit(self._end)
        self._thread.shutdown(wait=False)

    def _submit(self, text: str, tenant: str) -> asyncio.Future[Vector]:
        def done(_future: asyncio.Future[Vector]) -> None:
            self._queued -= 1
            self._semaphore.release(tenant)

        if self._closed:
            self._semaphore.release(tenant)
            raise RetrievalUnavailable("the embedding process is stopped")
        self._queued += 1
        future = asyncio.get_running_loop().run_in_executor(self._thread, self._embed, text)
        future.add_done_callback(done)
        return future

    # From here on, on the thread.

    def _embed(self, text: str) -> Vector:
        frame = encode_frame(Frame.TEXT, text.encode(errors="replace"))
        for attempt in range(1, _TRIES + 1):
            child = self._started()
            try:
                deadline = time.monotonic() + self._text_timeout
                child.send(frame, deadline)
                return _vector(*child.read(deadline))
            except (BrokenFrame, TimeoutError, OSError) as error:
                self._end()
                if self._closed:
                    break
                _log.error("the embedding process failed, try %d of %d with this text: %s", attempt, _TRIES, error)
        raise RetrievalUnavailable("the embedding process is stopped" if self._closed else "the embedding process died")

    def _started(self) -> ChildProcess:
        if self._child is not None:
            return self._child
        if self._closed or time.monotonic() < self._no_start_before:
            raise RetrievalUnavailable("the embedding process is not running")
        self._starts += 1
        try:
            child = self._child = self._spawned()  # known before it is ready: `close` kills it then too
            if self._closed:
                raise BrokenFrame("stopped meanwhile")
            child.wait_ready(self._start_timeout)
        except (BrokenFrame, TimeoutError, OSError) as error:
            self._end()
            self._no_start_before = time.monotonic() + _RETRY_START
            raise RetrievalUnavailable(f"the embedding process did not start: {error}") from error
        _log.info("the embedding process %s takes texts", child.pid)
        return child

    def _spawned(self) -> ChildProcess:
        command = (sys.executable, "-m", "trivet.retrieval.embedding.worker", "--export", str(self._export))
        return ChildProcess(command, os.environ)

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()


def _vector(kind: Frame, body: bytes) -> Vector:
    if kind is Frame.FAILED:
        raise DocumentRejected(f"a passage cannot be embedded: {body.decode(errors='replace')}")
    if kind is not Frame.VECTOR:
        raise BrokenFrame(f"{kind.name} where a vector was expected")
    return np.frombuffer(body, dtype="<f4").astype(np.float32)
