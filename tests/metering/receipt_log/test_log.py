"""The request log as a whole: off the loop, bounded, and exact about what it lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.accounts.small_disk import small_disk
from trivet.metering.receipt_log import LogLimits, QueueLimits, ReceiptLog, RecentReceipts
from trivet.metering.receipt_log.files import LogFiles
from trivet.types.receipt import Receipt

SMALL = LogLimits(file_bytes=2000, total_bytes=1 << 20)


def receipt(name: str, **fields: object) -> Receipt:
    return Receipt(name, "acme", "r", datetime.now(UTC), "OK", **fields)  # type: ignore[arg-type]


def readable(folder: Path) -> list[str]:
    """Request ids of all lines of all files that can be read, oldest first."""
    found = []
    for path in sorted(folder.glob("receipts*.jsonl")):
        for line in path.read_bytes().split(b"\n"):
            try:
                found.append(json.loads(line)["request_id"])
            except ValueError:
                continue
    return found


class Losses:
    def __init__(self) -> None:
        self.errors = 0
        self.lost = 0

    def error(self) -> None:
        self.errors += 1

    def lose(self, number: int) -> None:
        self.lost += number


def test_a_restart_recalls_and_searches_across_files(tmp_path: Path) -> None:
    path = tmp_path / "receipts.jsonl"
    log = ReceiptLog(path, limits=SMALL)
    for number in range(60):
        log.append(receipt(f"r{number}"))
        log.flush()
    log.close()
    assert len(list(tmp_path.iterdir())) > 3
    log = ReceiptLog(path, limits=SMALL)
    assert all(log.find("acme", f"r{number}") for number in range(60))
    log.close()
    log = ReceiptLog(path, RecentReceipts(max_receipts=1), limits=SMALL)
    assert log.find("acme", "r0") is None
    assert all(log.search("acme", f"r{number}") for number in range(60))
    assert log.search("acme", "r60") is None
    log.close()


class Held:
    """Keeps the writer from writing while it is shut."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        write = LogFiles.append

        def append(files: LogFiles, lines: bytes) -> int:
            self.open.wait(10)
            return write(files, lines)

        monkeypatch.setattr(LogFiles, "append", append)


def test_a_slow_disk_holds_up_nobody_and_what_finds_no_room_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, losses = Held(monkeypatch), Losses()
    queue = QueueLimits(max_bytes=10_000)
    log = ReceiptLog(tmp_path / "receipts.jsonl", queue=queue, on_error=losses.error, on_lost=losses.lose)
    started = time.monotonic()
    for number in range(1000):
        log.append(receipt(f"r{number}"))
    assert time.monotonic() - started < 5  # the writer is held for 10
    assert not log.flush(0.01)
    assert losses.lost > 0
    assert log.find("acme", "r999") is not None
    held.open.set()
    log.close()
    kept = readable(tmp_path)
    assert kept == [f"r{number}" for number in range(len(kept))]
    assert len(kept) + losses.lost == 1000
    assert losses.errors == 0


def test_what_a_stop_cannot_write_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, losses = Held(monkeypatch), Losses()
    log = ReceiptLog(tmp_path / "receipts.jsonl", queue=QueueLimits(close_seconds=0.1), on_lost=losses.lose)
    log.append(receipt("r1"))
    log.append(receipt("r2"))
    log.close()
    assert losses.lost == 2
    log.append(receipt("r3"))
    assert losses.lost == 3
    held.open.set()


@pytest.mark.parametrize("queue_bytes", [5_000, 1 << 20])
def test_on_a_full_disk_receipts_wait_and_readable_are_all_but_the_lost(tmp_path: Path, queue_bytes: int) -> None:
    with small_disk(tmp_path / "small") as disk:
        fill_and_empty(disk, queue_bytes)


def fill_and_empty(disk: Path, queue_bytes: int) -> None:
    losses = Losses()
    log = ReceiptLog(
        disk / "receipts.jsonl",
        queue=QueueLimits(max_bytes=queue_bytes, retry_seconds=0.02),
        on_error=losses.error,
        on_lost=losses.lose,
    )
    other = disk / "other"
    other.write_bytes(b"z" * 40_960)
    for number in range(150):
        log.append(receipt(f"r{number}", labels={"x": "y" * 200}))
        log.flush(0.01)
    assert losses.errors > 0
    assert (losses.lost > 0) == (queue_bytes < 10_000)
    other.unlink()
    assert log.flush(10)
    log.append(receipt("last"))
    log.close()
    found = readable(disk)
    assert len(found) == len(set(found))
    assert found[-1] == "last"
    assert len(found) + losses.lost == 151


KILLED = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from trivet.metering.receipt_log import ReceiptLog
from trivet.types.receipt import Receipt
log = ReceiptLog(Path(sys.argv[1]) / "receipts.jsonl")
number = 0
while True:
    log.append(Receipt(f"r{number}", "acme", "r", datetime.now(UTC), "OK"))
    print(number, flush=True)
    number += 1
    time.sleep(0.001)
"""


@pytest.mark.process
def test_a_killed_process_loses_what_waited_and_no_more(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 500:
                process.send_signal(signal.SIGKILL)
                break
        rest = process.stdout.read().split()
    appended = int(rest[-1]) + 1 if rest else 501
    found = readable(tmp_path)
    assert found == [f"r{number}" for number in range(len(found))]
    assert appended - len(found) <= 100  # a tenth of a second's; the machine may be busy
