"""The embedding process as its parent sees it: started with the first text, started again when it dies, bounded."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from trivet.errors import DocumentRejected, RetrievalUnavailable
from trivet.retrieval.embedding.frames import BrokenFrame, Frame, encode_frame, read_frame
from trivet.retrieval.embedding.onnx_model import Vector

_log = logging.getLogger(__name__)

_MAX_QUEUED = 64  # texts: a second or so of work
_TRIES = 2
_RETRY_START = 1.0  # seconds after a start that failed in which no other is tried
_PIECE = 65536  # bytes: a pipe holds no more


class EmbeddingProcess:
    """Embeds passages in a child process of low priority, one text at a time, so that queries are not slowed by it.

    Callers wait while too many texts are queued; first come, first served, text by text, so that a short document does
    not wait for all of a long one. A caller that is cancelled gives up its places at once. When the process dies, its
    text is tried once more in a new one. Use from one event loop.
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
        self._places = asyncio.Semaphore(max_queued)
        self._queued = 0
        # It alone talks to the process and starts it: the kernel ends a child with the thread that started it.
        self._thread = ThreadPoolExecutor(1, "embed-passages")
        self._child: _Child | None = None
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

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Their vectors (dimension,), in order.

        Raises RetrievalUnavailable when the process cannot be started or dies twice over a text, DocumentRejected when
        the model cannot read one.
        """
        waiting: list[asyncio.Future[Vector]] = []
        try:
            for text in texts:
                await self._places.acquire()
                waiting.append(self._submit(text))
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

    def _submit(self, text: str) -> asyncio.Future[Vector]:
        def done(_future: asyncio.Future[Vector]) -> None:
            self._queued -= 1
            self._places.release()

        if self._closed:
            self._places.release()
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
                return _vector(*child.ask(frame, self._text_timeout))
            except (BrokenFrame, TimeoutError, OSError) as error:
                self._end()
                if self._closed:
                    break
                _log.error("the embedding process failed, try %d of %d with this text: %s", attempt, _TRIES, error)
        raise RetrievalUnavailable("the embedding process is stopped" if self._closed else "the embedding process died")

    def _started(self) -> _Child:
        if self._child is not None:
            return self._child
        if self._closed or time.monotonic() < self._no_start_before:
            raise RetrievalUnavailable("the embedding process is not running")
        self._starts += 1
        try:
            child = self._child = _Child(self._export)  # known before it is ready: `close` kills it then too
            if self._closed:
                raise BrokenFrame("stopped meanwhile")
            child.wait_ready(self._start_timeout)
        except (BrokenFrame, TimeoutError, OSError) as error:
            self._end()
            self._no_start_before = time.monotonic() + _RETRY_START
            raise RetrievalUnavailable(f"the embedding process did not start: {error}") from error
        _log.info("the embedding process %s takes texts", child.pid)
        return child

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()


class _Child:
    """One run of the process: blocking, but never for longer than it is told to."""

    def __init__(self, export: Path) -> None:
        # Not in a session of its own: where the kernel groups by session, a niceness only counts inside of one. In a
        # process group of its own: Ctrl-C is for the gateway, which drains first. The environment is copied: the
        # engine's start changes it in another thread.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "trivet.retrieval.embedding.worker", "--export", str(export)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            process_group=0,
            env=dict(os.environ),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._texts, self._answers = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._texts, False)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def wait_ready(self, timeout: float) -> None:
        """Return when it takes texts; raises BrokenFrame or TimeoutError."""
        kind, _ = self._read(time.monotonic() + timeout)
        if kind is not Frame.READY:
            raise BrokenFrame(f"it began with {kind.name}")

    def ask(self, frame: bytes, timeout: float) -> tuple[Frame, bytes]:
        """The answer to a text; raises BrokenFrame, TimeoutError or OSError when there is none."""
        deadline = time.monotonic() + timeout
        rest = memoryview(frame)
        while rest:
            _wait(self._texts, select.POLLOUT, deadline)
            rest = rest[os.write(self._texts, rest[:_PIECE]) :]
        return self._read(deadline)

    def kill(self) -> None:
        """From any thread."""
        self._process.kill()

    def end(self) -> None:
        """Kill it and leave nothing of it."""
        with self._process:  # closes the pipes and waits
            self._process.kill()

    def _read(self, deadline: float) -> tuple[Frame, bytes]:
        def read(most: int) -> bytes:
            _wait(self._answers, select.POLLIN, deadline)
            return os.read(self._answers, min(most, _PIECE))

        return read_frame(read)


def _wait(descriptor: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError("it did not answer in time")


def _vector(kind: Frame, body: bytes) -> Vector:
    if kind is Frame.FAILED:
        raise DocumentRejected(f"a passage cannot be embedded: {body.decode(errors='replace')}")
    if kind is not Frame.VECTOR:
        raise BrokenFrame(f"{kind.name} where a vector was expected")
    return np.frombuffer(body, dtype="<f4").astype(np.float32)
