"""The request log: one JSON line per receipt in the data folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from trivet.metering.recent_receipts import RecentReceipts
from trivet.types.generation import FinishReason
from trivet.types.receipt import Cost, Receipt, UnitSource

TAIL_BYTES = 16 << 20
SEARCHED_BYTES = 32 << 20  # of the log's end, for a receipt that is no longer among the latest
_CHUNK = 1 << 20  # searched at a time: whoever searches holds the interpreter for less than a millisecond
_LINE = 64 << 10  # a line is shorter
_MARKS = frozenset({"cold", "shadow"})  # of few requests: absent where they do not hold


class ReceiptLog:
    """Appends receipts, and recalls the latest by request id, also after a restart.

    A line is one `write` to a file opened for appending: a crash of the process loses nothing that was written, and
    a line cut short by a crash of the machine is closed off at the next start and skipped by readers.
    """

    def __init__(self, path: Path, recent: RecentReceipts | None = None) -> None:
        """`recent` keeps what can be recalled."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._recent = recent or RecentReceipts()
        if path.exists():
            self._recall(path)
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            os.write(self._descriptor, b"\n")

    def append(self, receipt: Receipt) -> None:
        """Write one line; OSError if it cannot be written whole."""
        line = json.dumps(to_json(receipt), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        self._recent.remember(receipt, len(line))
        written = os.write(self._descriptor, line)
        if written != len(line):
            raise OSError(f"only {written} of {len(line)} bytes of a receipt were written")

    def find(self, tenant: str, request_id: str) -> Receipt | None:
        """The newest receipt of that id and tenant, among the latest."""
        return self._recent.find(tenant, request_id)

    def search(self, tenant: str, request_id: str) -> Receipt | None:
        """The newest receipt of that id and tenant in the last `SEARCHED_BYTES` of the log. Blocks; for a thread.

        It takes as long for a request of another tenant as for one that never was.
        """
        begin = json.dumps({"request_id": request_id, "tenant": tenant}, ensure_ascii=False, separators=(",", ":"))
        with self._path.open("rb") as file:
            for position in _lines(file, begin.removesuffix("}").encode() + b","):
                file.seek(position)
                try:
                    return from_json(json.loads(file.read(_LINE).partition(b"\n")[0]))
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue  # cut short by a crash, or damaged
        return None

    def close(self) -> None:
        """Close the file; nothing is appended any more."""
        os.close(self._descriptor)

    def _recall(self, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            for line in file.read().splitlines():
                try:
                    self._recent.remember(from_json(json.loads(line)), len(line))
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue  # cut short by a crash or by the seek, or damaged


def _lines(file: BinaryIO, begin: bytes) -> Iterator[int]:
    """Where the lines with this beginning start, the last one first. No text of a client holds a line's end."""
    wanted = b"\n" + begin
    end = file.seek(0, os.SEEK_END)
    stop = max(0, end - SEARCHED_BYTES)
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


def to_json(receipt: Receipt) -> dict[str, Any]:
    """The log's form: every known field by its name in the contract; unknown ones are absent."""
    data: dict[str, Any] = {}
    for name in Receipt.__slots__:
        value = getattr(receipt, name)
        if value is None or value == () or value == {} or value == "" or (name in _MARKS and not value):
            continue
        if isinstance(value, FinishReason | UnitSource):
            value = value.value
        elif isinstance(value, datetime):
            value = value.isoformat()
        elif isinstance(value, Cost):
            value = _cost_to_json(value)
            if not value:
                continue
        data[name] = value
    return data


def from_json(data: dict[str, Any]) -> Receipt:
    """The inverse of `to_json`; ValueError, KeyError or TypeError if it is none of ours."""
    fields = dict(data)
    fields["created_at"] = datetime.fromisoformat(fields["created_at"])
    if "finish_reason" in fields:
        fields["finish_reason"] = FinishReason(fields["finish_reason"])
    if "unit_source" in fields:
        fields["unit_source"] = UnitSource(fields["unit_source"])
    cost = dict(fields.pop("cost", {}))
    cost.pop("total", None)
    for name in ("passage_ids", "degraded", "example_ids"):
        fields[name] = tuple(fields.get(name, ()))
    return Receipt(cost=Cost(**cost), **fields)


def _cost_to_json(cost: Cost) -> dict[str, int]:
    parts = {"input": cost.input, "cached": cost.cached, "output": cost.output, "retrieval": cost.retrieval}
    return {name: value for name, value in {**parts, "total": cost.total}.items() if value is not None}
