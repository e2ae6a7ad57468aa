"""One process that splits documents, as its parent sees it."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from trivet.errors import DocumentRejected, RetrievalUnavailable
from trivet.retrieval.passages.limits import DocumentLimits
from trivet.retrieval.passages.process.messages import LAST, SplitRequest, decode_chunks, encode_request
from trivet.retrieval.passages.splitting import Chunk
from trivet.retrieval.processes.child import ChildProcess
from trivet.retrieval.processes.frames import BrokenFrame, Frame, encode_frame

_log = logging.getLogger(__name__)

_TRIES = 2
_PATIENCE = 3  # times the CPU time that a document may take, on the clock
_START_TIMEOUT = 60.0  # seconds
_ENVIRONMENT = {"TOKENIZERS_PARALLELISM": "false"}  # nothing else: what is in ours is none of its business


class SplittingProcess:
    """Started with `start` or its first document, started again when it dies.

    One document at a time; use from one event loop.
    """

    def __init__(self, limits: DocumentLimits) -> None:
        self._limits = limits
        # It alone talks to the process and starts it: the kernel ends a child with the thread that started it.
        self._thread = ThreadPoolExecutor(1, "split-documents")
        self._child: ChildProcess | None = None
        self._starts = 0
        self._given_up = False  # the document at hand is not wanted any more
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Process id of the child, None before the first document."""
        return self._child.pid if self._child is not None else None

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return max(0, self._starts - 1)

    async def split(self, request: SplitRequest) -> list[Chunk]:
        """The passages of a document. Not to be cancelled: `give_up` ends it.

        Raises DocumentRejected, and RetrievalUnavailable when the process cannot be started or is stopped.
        """
        self._given_up = False
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._split, request)

    async def start(self) -> None:
        """Be ready for a document, if need be before there is one. A failure is told by the next document."""
        with suppress(RetrievalUnavailable):
            await asyncio.get_running_loop().run_in_executor(self._thread, self._started)

    def give_up(self) -> None:
        """End the document at hand: kill the process."""
        self._given_up = True
        if self._child is not None:
            self._child.kill()

    def close(self) -> None:
        """Kill the process; a document that it has at hand fails with RetrievalUnavailable."""
        if not self._closed:
            self._closed = True
            self.give_up()
            self._thread.submit(self._end)
            self._thread.shutdown(wait=False)

    # From here on, on the thread.

    def _split(self, request: SplitRequest) -> list[Chunk]:
        about = f"document {request.document.id!r}"
        frame = encode_frame(Frame.DOCUMENT, encode_request(request))
        for attempt in range(1, _TRIES + 1):
            child = self._started()
            try:
                return self._answer(child, frame)
            except TimeoutError:
                self._end()
                raise self._too_long(about) from None
            except (BrokenFrame, OSError) as error:
                ended = self._end()
                if self._closed or self._given_up:
                    break
                if ended == -signal.SIGXCPU:
                    raise self._too_long(about) from None
                _log.error("the splitting process ended (%s, %s), try %d of %d", error, ended, attempt, _TRIES)
        if self._closed or self._given_up:
            raise RetrievalUnavailable("splitting the document was stopped")
        raise DocumentRejected(f"{about}: it cannot be read: the process that reads it crashed")

    def _answer(self, child: ChildProcess, frame: bytes) -> list[Chunk]:
        deadline = time.monotonic() + _PATIENCE * self._limits.seconds
        child.send(frame, deadline)
        chunks: list[Chunk] = []
        while True:
            kind, body = child.read(deadline)
            if kind is Frame.CHUNKS:
                chunks += decode_chunks(body)
                if len(chunks) > self._limits.passages:
                    raise BrokenFrame("more passages than allowed")
                continue
            if kind not in (Frame.DONE, Frame.REFUSED):
                raise BrokenFrame(f"{kind.name} where passages were expected")
            if body[:1] == LAST:
                self._end()
            if kind is Frame.REFUSED:
                raise DocumentRejected(body[1:].decode(errors="replace"))
            return chunks

    def _too_long(self, about: str) -> DocumentRejected:
        return DocumentRejected(f"{about}: reading it takes longer than {self._limits.seconds} s")

    def _started(self) -> ChildProcess:
        if self._child is not None:
            return self._child
        if self._closed or self._given_up:
            raise RetrievalUnavailable("splitting the document was stopped")
        self._starts += 1
        try:
            child = self._child = self._spawned()  # known before it is ready: `give_up` kills it then too
            if self._closed or self._given_up:
                raise BrokenFrame("stopped meanwhile")
            child.wait_ready(_START_TIMEOUT)
        except (BrokenFrame, TimeoutError, OSError) as error:
            self._end()
            raise RetrievalUnavailable(f"the splitting process did not start: {error}") from error
        return child

    def _spawned(self) -> ChildProcess:
        limits = [f"--{name}={getattr(self._limits, name)}" for name in DocumentLimits.__slots__]
        module = "trivet.retrieval.passages.process.worker"
        return ChildProcess((sys.executable, "-I", "-m", module, *limits), _ENVIRONMENT)

    def _end(self) -> int:
        """How it ended; 0 if none runs."""
        child, self._child = self._child, None
        return child.end() if child is not None else 0
