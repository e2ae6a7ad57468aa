"""A thread that writes lines to files, so that a slow or full disk holds up nobody but itself."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Thread

from trivet.metering.receipt_log.files import LogFiles

logger = logging.getLogger(__name__)

_BATCH_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """`max_bytes` may wait to be written. After a failed write the next one comes `retry_seconds` later; a stop waits
    at most `close_seconds` for the rest."""

    max_bytes: int = 16 << 20
    retry_seconds: float = 1.0
    close_seconds: float = 5.0


class QueuedWriter:
    """Writes lines in their order. What finds no room, because nothing could be written for long, is lost and counted.

    `on_error` is told of each write that failed, `on_lost` of how many lines were lost; from any thread.
    """

    def __init__(
        self, files: LogFiles, limits: QueueLimits, on_error: Callable[[], None], on_lost: Callable[[int], None]
    ) -> None:
        self._files = files
        self._limits = limits
        self._on_error = on_error
        self._on_lost = on_lost
        self._changed = Condition()
        self._queue: deque[bytes] = deque()
        self._bytes = 0  # in the queue, with those that are being written
        self._written = 0  # ever
        self._closing = False
        self._failing = False
        self._thread = Thread(target=self._run, name="receipt-log", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Have it written; waits for nothing."""
        with self._changed:
            fits = not self._closing and self._bytes + len(line) <= self._limits.max_bytes
            if fits:
                self._queue.append(line)
                self._bytes += len(line)
                if len(self._queue) == 1:  # else it is awake
                    self._changed.notify_all()
        if not fits:
            self._on_lost(1)

    def flush(self, seconds: float) -> bool:
        """Wait until all that has been put by now is written; whether it is."""
        with self._changed:
            wanted = self._written + self._bytes
            return self._changed.wait_for(lambda: self._written >= wanted, seconds)

    def close(self) -> None:
        """Write what waits, as far as that is possible now; the rest is lost."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(self._limits.close_seconds)
        with self._changed:
            left = len(self._queue)
            self._queue.clear()
        if left:
            self._on_lost(left)
            logger.error("stopped with %d receipts that could not be written", left)
        if not self._thread.is_alive():
            self._files.close()

    def _run(self) -> None:
        while batch := self._next():
            if not self._write(batch):
                with self._changed:
                    if self._closing:
                        return
                    self._changed.wait_for(lambda: self._closing, self._limits.retry_seconds)

    def _next(self) -> list[bytes]:
        """Some lines, which stay in the queue until they are written; none once there is nothing left to do."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._queue) or self._closing)
            batch: list[bytes] = []
            size = 0
            for line in self._queue:
                if batch and size + len(line) > _BATCH_BYTES:
                    break
                batch.append(line)
                size += len(line)
            return batch

    def _write(self, batch: list[bytes]) -> bool:
        """Whether all of it was written."""
        lines = b"".join(batch)
        try:
            written = self._files.append(lines)
        except OSError as error:
            self._failed(error)
            return False
        with self._changed:
            done = 0
            while done < written and self._queue:
                done += len(self._queue.popleft())
            self._bytes -= done
            self._written += done
            self._changed.notify_all()
        if written < len(lines):
            self._failed(None)
            return False
        if self._failing:
            self._failing = False
            logger.warning("receipts are written again")
        return True

    def _failed(self, error: OSError | None) -> None:
        self._on_error()
        if not self._failing:  # one message for each outage, not for each receipt
            self._failing = True
            logger.error("receipts cannot be written, and wait: %s", error or "only a part fitted on the disk")
