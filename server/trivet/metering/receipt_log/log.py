"""Appends receipts, and recalls the latest by request id, also after a restart."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import BinaryIO

from trivet.fairness.fair_semaphore import FairSemaphore
from trivet.metering.receipt_log.files import LogFiles, LogLimits, latest_files
from trivet.metering.receipt_log.json_form import from_json, to_json
from trivet.metering.receipt_log.recent import RecentReceipts
from trivet.metering.receipt_log.writer import QueuedWriter, QueueLimits
from trivet.types.receipt import Receipt

TAIL_BYTES = 16 << 20
SEARCHED_BYTES = 32 << 20  # of the log's end, for a receipt that is no longer among the latest
FLUSH_SECONDS = 1.0
_CHUNK = 1 << 20  # searched at a time: whoever searches holds the interpreter for less than a millisecond
_LINE = 64 << 10  # a line is shorter
_Latest = Callable[[int, ExitStack], list[BinaryIO]]  # see `latest_files`


class ReceiptLog:
    """The request log. `append`, `find` and what they are called from belong to one thread; a second one writes.

    A crash of the process loses what waits to be written, at most `QueueLimits.max_bytes` and usually the receipts of
    the last milliseconds. A line cut short is closed off by the next write, and skipped by readers.
    """

    def __init__(
        self,
        path: Path,
        recent: RecentReceipts | None = None,
        *,
        limits: LogLimits | None = None,
        queue: QueueLimits | None = None,
        on_error: Callable[[], None] = lambda: None,
        on_lost: Callable[[int], None] = lambda _: None,
        beside: Sequence[Path] = (),
    ) -> None:
        """`recent` keeps what can be recalled. `beside`: the logs of other processes of this server. For `on_error` and
        `on_lost` see `QueuedWriter`. Raises OSError."""
        self._recent = recent or RecentReceipts()
        self._files = LogFiles(path, limits or LogLimits())
        self._beside = tuple(beside)
        self._searches = FairSemaphore(1)  # of several logs: each reads megabytes
        self._recall()
        self._writer = QueuedWriter(self._files, queue or QueueLimits(), on_error, on_lost)

    def append(self, receipt: Receipt) -> None:
        """Remember it and have its line written; waits for nothing."""
        line = _line_of(to_json(receipt))
        self._remember(receipt, len(line))
        self._writer.put(line)

    def note(self, line: Mapping[str, object]) -> None:
        """Have a line written that is no receipt, which nobody recalls; waits for nothing."""
        self._writer.put(_line_of(line))

    def find(self, tenant: str, request_id: str) -> Receipt | None:
        """The newest receipt of that id and tenant, among the latest."""
        return self._recent.find(tenant, request_id)

    async def recall(self, tenant: str, request_id: str) -> Receipt | None:
        """The same, with those of other processes of this server, which are looked for in their files."""
        receipt = self.find(tenant, request_id)
        if receipt is not None or not self._beside:
            return receipt
        async with self._searches.slot(tenant):
            return await asyncio.to_thread(self.search, tenant, request_id)

    def search(self, tenant: str, request_id: str) -> Receipt | None:
        """The newest receipt of that id and tenant in the last `SEARCHED_BYTES` of the log, or of one beside it.

        Blocks; for a thread.

        It takes as long for a request of another tenant as for one that never was.
        """
        self.flush()
        begin = json.dumps({"request_id": request_id, "tenant": tenant}, ensure_ascii=False, separators=(",", ":"))
        wanted = begin.removesuffix("}").encode() + b","
        logs: list[_Latest] = [self._files.latest, *(partial(latest_files, path) for path in self._beside)]
        return next((found for latest in logs if (found := _found(latest, wanted)) is not None), None)

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until what was appended is written; whether it is. Blocks; for a thread."""
        return self._writer.flush(seconds)

    def close(self) -> None:
        """Write what waits and close the file; nothing is appended any more. Blocks for `QueueLimits.close_seconds`
        at most."""
        self._writer.close()

    def _remember(self, receipt: Receipt, size: int) -> None:
        """Copies are recalled by nobody, for no client asked for one."""
        if not receipt.shadow:
            self._recent.remember(receipt, size)

    def _recall(self) -> None:
        with ExitStack() as stack:
            left, tails = TAIL_BYTES, []
            for file in self._files.latest(left, stack):
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - left))
                tails.append(file.read())
                left -= size
        for tail in reversed(tails):
            for line in tail.split(b"\n"):
                try:
                    self._remember(from_json(json.loads(line)), len(line))
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue  # cut short by a crash or by the seek, or damaged


def _line_of(data: Mapping[str, object]) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _lines(file: BinaryIO, begin: bytes, most_bytes: int) -> Iterator[int]:
    """Where the lines with this beginning start, the last one first. No text of a client holds a line's end."""
    wanted = b"\n" + begin
    end = file.seek(0, os.SEEK_END)
    stop = max(0, end - most_bytes)
    while end > stop:
        start = max(stop, end - _CHUNK)
        file.seek(start)
        before = b"" if start else b"\n"  # as if the first line followed another
        data = before + file.read(end - start + len(wanted) - 1)
        at = data.rfind(wanted)
        while at >= 0:
            yield start - len(before) + at + 1
            at = data.rfind(wanted, 0, at + len(wanted) - 1)
        end = start


def _found(latest: _Latest, wanted: bytes) -> Receipt | None:
    """The newest receipt whose line begins so."""
    with ExitStack() as stack:
        left = SEARCHED_BYTES
        for file in latest(left, stack):
            for position in _lines(file, wanted, left):
                file.seek(position)
                try:
                    found = from_json(json.loads(file.read(_LINE).partition(b"\n")[0]))
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue  # cut short by a crash, or damaged
                if not found.shadow:
                    return found
            left -= file.seek(0, os.SEEK_END)
    return None
