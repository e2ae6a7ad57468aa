"""What the machines cost, out of the statements in the request log."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.request_logs import NOON, line, receipt
from trivet.costs.log_files import open_log
from trivet.costs.reading import Counts, entries


def statement(number: int, idle: int, /, *, run: str = "one", **changes: Any) -> bytes:
    """An hour later for each number."""
    return json.dumps({
        "machine": "local", "run": run, "number": number, "at": (NOON + timedelta(hours=number)).isoformat(),
        "nanoseconds": {"requests": 5, "idle": 10 * idle}, "nano_usd": {"requests": 1, "idle": idle}, **changes,
    }).encode() + b"\n"  # fmt: skip


def read(folder: Path, *lines: bytes, **times: Any) -> Counts:
    (folder / "receipts.jsonl").write_bytes(b"".join(lines))
    counts = Counts()
    with open_log(folder) as files:
        assert len(list(entries(files, counts, **times))) == sum(b"request_id" in text for text in lines)
    return counts


def idle(counts: Counts) -> tuple[int, int]:
    sums = counts.machines.sums["local"]
    return sums.nanoseconds["idle"], sums.nano_usd["idle"]


def test_the_last_statement_of_each_run_counts(tmp_path: Path) -> None:
    counts = read(tmp_path, statement(1, 3), line(receipt()), statement(2, 10), statement(1, 4, run="two"))
    assert (counts.statements, counts.damaged) == (3, 0)
    assert idle(counts) == (140, 14)
    assert counts.machines.sums["local"].nano_usd["requests"] == 2


def test_only_what_was_added_within_the_time_counts(tmp_path: Path) -> None:
    lines = [statement(number, number**2) for number in (1, 2, 3, 4)]
    found = read(tmp_path, *lines, since=NOON + timedelta(hours=3), until=NOON + timedelta(hours=4))
    assert idle(found) == (50, 5)


def test_what_came_before_the_log_that_is_left_is_not_counted(tmp_path: Path) -> None:
    assert idle(read(tmp_path, statement(7, 100), statement(8, 103))) == (30, 3)


def test_a_statement_that_is_none_is_damaged(tmp_path: Path) -> None:
    bad: list[dict[str, Any]] = [{"number": -1}, {"machine": 3}, {"at": "noon"}, {"nano_usd": {"idle": 0.5}}]
    assert read(tmp_path, *(statement(1, 1, **one) for one in bad)).damaged == len(bad)
