"""The log of outcomes: whole lines count, half ones do not, one writer at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trivet.errors import FailedPrecondition
from trivet.evaluation.outcomes import Outcome, OutcomeLog

FIRST = Outcome("d", "arm", "1", "grün\n\ud800", cited=("a", "b"), degraded=("x",), ttft_ms=1.5, cost=7)


def outcome(number: int) -> Outcome:
    return Outcome("d", "arm", str(number), "text")


def test_what_was_added_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.jsonl"
    with OutcomeLog(path) as log:
        log.add(FIRST)
        with pytest.raises(ValueError, match="answered already"):
            log.add(FIRST)
    with OutcomeLog(path) as log:
        assert dict(log.outcomes) == {("d", "arm", "1"): FIRST}
    with OutcomeLog(path, fresh=True) as log:
        assert not log.outcomes


@pytest.mark.parametrize("left", [1, 20, -1])
def test_a_half_written_last_line_is_cut_off_and_the_next_begins_clean(tmp_path: Path, left: int) -> None:
    path = tmp_path / "results.jsonl"
    with OutcomeLog(path) as log:
        log.add(outcome(1))
        size = path.stat().st_size
        log.add(outcome(2))
    content = path.read_bytes()
    path.write_bytes(content[: size + left] if left > 0 else content[:left])
    with OutcomeLog(path) as log:
        assert [key[2] for key in log.outcomes] == ["1"]
        log.add(outcome(2))
    with OutcomeLog(path) as log:
        assert [key[2] for key in log.outcomes] == ["1", "2"]


@pytest.mark.parametrize("damage", [b"{}\n", b"\xff\n", b'{"suite": 1\n', b"[]\n"])
def test_a_damaged_line_is_told_by_its_number(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "results.jsonl"
    with OutcomeLog(path) as log:
        log.add(outcome(1))
    path.write_bytes(path.read_bytes() + damage)
    with pytest.raises(FailedPrecondition, match=r"results\.jsonl:2: damaged"):
        OutcomeLog(path)


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with OutcomeLog(path) as log:
        log.add(outcome(1))
        with pytest.raises(FailedPrecondition, match="another evaluation"):
            OutcomeLog(path, fresh=True)
        assert path.stat().st_size > 0
    OutcomeLog(path).__exit__(None, None, None)


def test_many_threads_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with OutcomeLog(path) as log, ThreadPoolExecutor(8) as pool:
        list(pool.map(log.add, map(outcome, range(400))))
    with OutcomeLog(path) as log:
        assert {int(key[2]) for key in log.outcomes} == set(range(400))
