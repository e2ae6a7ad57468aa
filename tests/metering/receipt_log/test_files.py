"""Files of the request log: put aside by size and age, bounded together, whole after a full disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.accounts.small_disk import small_disk
from trivet.metering.receipt_log.files import LogFiles, LogLimits

LINE = b'{"n": 1}\n'


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def small(folder: Path, **limits: float) -> LogFiles:
    bounds = {"file_bytes": 100, "file_seconds": 1e9, "total_bytes": 1000, **limits}
    return LogFiles(folder / "r.jsonl", LogLimits(**bounds))  # type: ignore[arg-type]


def test_a_large_file_is_put_aside_and_numbered(tmp_path: Path) -> None:
    files = small(tmp_path)
    for _ in range(30):
        assert files.append(LINE) == len(LINE)
    files.close()
    assert names(tmp_path) == ["r-000001.jsonl", "r-000002.jsonl", "r.jsonl"]
    assert sum(path.read_bytes().count(b"\n") for path in tmp_path.iterdir()) == 30
    files = small(tmp_path)
    for _ in range(30):
        files.append(LINE)
    files.close()
    assert "r-000004.jsonl" in names(tmp_path)


def test_an_old_file_is_put_aside_whatever_the_clock_does(tmp_path: Path) -> None:
    now = 1000.0
    files = LogFiles(tmp_path / "r.jsonl", LogLimits(file_seconds=60.0), clock=lambda: now)
    files.append(LINE)
    now = 500.0  # set back
    files.append(LINE)
    now = 559.0
    files.append(LINE)
    assert names(tmp_path) == ["r.jsonl"]
    now = 561.0
    files.append(LINE)
    assert names(tmp_path) == ["r-000001.jsonl", "r.jsonl"]
    now = 10_000.0
    files.append(LINE)
    files.append(LINE)
    assert names(tmp_path) == ["r-000001.jsonl", "r-000002.jsonl", "r.jsonl"]
    files.close()


def test_all_files_together_stay_within_the_bound(tmp_path: Path) -> None:
    (tmp_path / "r.old.jsonl").write_bytes(LINE)  # somebody's own, and none of ours
    files = small(tmp_path, total_bytes=350)
    for number in range(200):
        files.append(LINE)
        ours = [path for path in tmp_path.iterdir() if path.name != "r.old.jsonl"]
        assert sum(path.stat().st_size for path in ours) <= 350, number
    assert names(tmp_path) == ["r-000015.jsonl", "r-000016.jsonl", "r.jsonl", "r.old.jsonl"]
    files.close()


def test_a_bound_that_was_lowered_holds_from_the_start(tmp_path: Path) -> None:
    files = small(tmp_path)
    for _ in range(100):
        files.append(LINE)
    files.close()
    small(tmp_path, total_bytes=250).close()
    assert len(names(tmp_path)) == 2


def test_a_file_that_somebody_else_put_aside_is_made_again(tmp_path: Path) -> None:
    files = small(tmp_path)
    files.append(LINE)
    (tmp_path / "r.jsonl").rename(tmp_path / "theirs")
    files.append(LINE)
    (tmp_path / "r.jsonl").unlink()
    files.append(LINE)
    assert (tmp_path / "r.jsonl").read_bytes() == (tmp_path / "theirs").read_bytes() == LINE
    files.close()


def test_the_latest_come_newest_first_and_no_more_than_needed(tmp_path: Path) -> None:
    files = small(tmp_path)
    for number in range(5):
        files.append(b"%d" % number * 100 + b"\n")
    with ExitStack() as stack:
        assert [file.read()[:1] for file in files.latest(1 << 20, stack)] == [b"4", b"3", b"2", b"1", b"0"]
        assert [file.read()[:1] for file in files.latest(150, stack)] == [b"4", b"3"]
        assert files.latest(0, stack) == []
    files.close()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small") as folder:
        yield folder


def test_after_a_full_disk_every_line_that_arrived_is_whole(full_disk: Path) -> None:
    other = full_disk / "other"
    other.write_bytes(b"z" * 40_960)
    files = LogFiles(full_disk / "r.jsonl", LogLimits())
    arrived = failed = torn = 0
    for number in range(150):
        line = b'{"n": %d, "x": "%s"}\n' % (number, b"y" * 700)
        try:
            whole = files.append(line) == len(line)
            arrived += whole
            torn += not whole
        except OSError:
            failed += 1
        if number % 20 == 19:  # some room comes back
            os.truncate(other, max(0, other.stat().st_size - 4096))
    files.close()
    lines = (full_disk / "r.jsonl").read_bytes().split(b"\n")
    assert failed > 0
    assert torn > 0
    assert sum(line.endswith(b'"}') for line in lines) == arrived
