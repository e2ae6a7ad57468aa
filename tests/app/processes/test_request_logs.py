"""The request logs of several processes: each writes its own, and all are read."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

from trivet.costs.log_files import open_log
from trivet.metering.receipt_log import LogLimits, ReceiptLog
from trivet.types.receipt import Receipt


def receipt(name: str, tenant: str = "acme") -> Receipt:
    return Receipt(name, tenant, "r", datetime.now(UTC), "OK")


async def test_each_finds_what_another_wrote_and_costs_read_all(tmp_path: Path) -> None:
    paths = [tmp_path / "processes" / name / "receipts.jsonl" for name in ("0", "1")]
    with ExitStack() as opened:
        one, two = (
            opened.enter_context(closing(ReceiptLog(path, beside=[other], limits=LogLimits(file_bytes=300))))
            for path, other in (paths, reversed(paths))
        )
        for number in range(5):  # over several files
            one.append(receipt(f"one-{number}"))
            assert one.flush()
        two.append(receipt("two-0"))
        assert two.flush()
        for name in ("one-0", "one-4", "two-0"):
            for log in (one, two):
                found = await log.recall("acme", name)
                assert found is not None
                assert found.request_id == name
        assert await two.recall("other", "one-0") is None
        assert await two.recall("acme", "one-9") is None
    with open_log(tmp_path) as files:
        assert len(files) >= 3
        read = {json.loads(line)["request_id"] for file in files for line in file.stream.read().splitlines()}
    assert read == {*(f"one-{number}" for number in range(5)), "two-0"}


async def test_a_process_that_has_not_started_yet_has_no_receipts(tmp_path: Path) -> None:
    log = ReceiptLog(tmp_path / "receipts.jsonl", beside=[tmp_path / "not there" / "receipts.jsonl"])
    with closing(log):
        assert await log.recall("acme", "one") is None
