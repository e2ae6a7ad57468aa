"""Which files are read, and what becomes of lines that are no receipts."""

from __future__ import annotations

import os
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.request_logs import NOON, line, read_entry, receipt, write_log
from trivet.costs.entry import Damaged
from trivet.costs.log_files import open_log
from trivet.costs.reading import LONGEST_LINE, Counts, entries
from trivet.types.receipt import Cost


def ids(folder: Path, counts: Counts | None = None) -> list[str]:
    with open_log(folder) as files:
        return [entry.fields["request_id"] for entry in entries(files, counts or Counts())]


def test_rotated_files_come_first_and_in_order(tmp_path: Path) -> None:
    write_log(tmp_path / "receipts.jsonl", receipt(3))
    write_log(tmp_path / "receipts-20261130T140000.jsonl", receipt(2))
    write_log(tmp_path / "receipts-20261130T130000.jsonl", receipt(1))
    counts = Counts()
    assert ids(tmp_path, counts) == ["r1", "r2", "r3"]
    assert counts.files == 3


def test_a_file_that_is_rotated_while_it_is_read_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    current = tmp_path / "receipts.jsonl"
    write_log(current, receipt(1))
    listed = Path.glob

    def rotate(self: Path, pattern: str) -> object:
        if current.exists() and not list(listed(self, "receipts-*")):
            current.rename(tmp_path / "receipts-20261130T130000.jsonl")
            write_log(current, receipt(2))
        return listed(self, pattern)

    monkeypatch.setattr(Path, "glob", rotate)
    assert ids(tmp_path) == ["r1"]  # the second was written after the report began
    monkeypatch.undo()
    assert ids(tmp_path) == ["r1", "r2"]


def test_what_is_written_after_the_start_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "receipts.jsonl"
    write_log(path, receipt(1))
    with open_log(tmp_path) as files:
        with path.open("ab") as log:
            log.write(line(receipt(2)))
        assert [entry.fields["request_id"] for entry in entries(files, Counts())] == ["r1"]


def test_damaged_lines_are_counted_and_the_others_read(tmp_path: Path) -> None:
    good, torn = line(receipt(1)), line(receipt(2))[:200]
    rest = [b"null", b"[]", b"{}", b'"x"', b"\xff\xfe", b"[" * 60_000, b'{"created_at": 1}', b""]
    (tmp_path / "receipts.jsonl").write_bytes(b"\n".join([good, torn, *rest, line(receipt(3)) + torn]))
    counts = Counts()
    assert ids(tmp_path, counts) == ["r1", "r3"]
    assert (counts.read, counts.damaged) == (11, 9)


def test_a_line_without_an_end_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "receipts.jsonl"
    with path.open("wb") as log:
        log.write(line(receipt(1)))
        for _ in range(512):
            log.write(b"x" * LONGEST_LINE)
        log.write(b"\n" + line(receipt(2)))
    counts = Counts()
    tracemalloc.start()
    assert ids(tmp_path, counts) == ["r1", "r2"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts.damaged == 1
    assert peak < 16 * LONGEST_LINE  # of 32 MiB


def test_a_file_of_another_time_is_not_opened_and_an_empty_report_is_no_error(tmp_path: Path) -> None:
    write_log(tmp_path / "receipts-1.jsonl", receipt(1))
    write_log(tmp_path / "receipts.jsonl", receipt(2))
    old, new = (NOON - timedelta(days=2)).timestamp(), NOON.timestamp()
    os.utime(tmp_path / "receipts.jsonl", (new, new))
    os.utime(tmp_path / "receipts-1.jsonl", (old, old))
    with open_log(tmp_path, NOON) as files:
        assert [file.path.name for file in files] == ["receipts.jsonl"]
    os.utime(tmp_path / "receipts.jsonl", (old, old))
    with open_log(tmp_path, NOON) as files:
        assert list(entries(files, Counts(), since=NOON)) == []


def test_no_log_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no request has been served"), open_log(tmp_path):
        pass


def test_the_time_is_from_the_first_on_and_before_the_second(tmp_path: Path) -> None:
    write_log(tmp_path / "receipts.jsonl", *(receipt(number) for number in range(4)))
    counts = Counts()
    with open_log(tmp_path) as files:
        between = entries(files, counts, since=NOON + timedelta(hours=1), until=NOON + timedelta(hours=3))
        assert [entry.fields["request_id"] for entry in between] == ["r1", "r2"]
    assert counts.outside == 2


def test_a_route_that_was_not_found_has_no_name_of_a_clients() -> None:
    unknown = receipt(code="NOT_FOUND", route="<whatever>", variant="", cost=Cost())
    assert read_entry(line(unknown)).fields["route"] == "unknown"
    assert read_entry(line(receipt(code="NOT_FOUND"))).fields["route"] == "support"


@pytest.mark.parametrize(
    ("part", "by"),
    [
        (b'"total":111', b'"total":112'),
        (b'"input":100', b'"input":-100'),
        (b'"input":100', b'"input":1e2'),
        (b'"cached_tokens":60', b'"cached_tokens":101'),
        (b'"cached_tokens":60', b'"cached_tokens":"60"'),
        (b"+00:00", b""),
    ],
)
def test_a_receipt_that_does_not_add_up_is_damaged(part: bytes, by: bytes) -> None:
    good = line(receipt())
    assert part in good
    read_entry(good)
    with pytest.raises(Damaged):
        read_entry(good.replace(part, by))


def test_another_price_models_components_are_read_too() -> None:
    machine = line(receipt()).replace(
        b'"input":100,"cached":10,"output":1', b'"prefill":100,"decode":11,"basis":"machine"'
    )
    assert dict(read_entry(machine).cost) == {"prefill": 100, "decode": 11}
