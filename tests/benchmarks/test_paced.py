"""One and several front ends over a paced engine: what is made of load generators' windows, and the whole once."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from benchmarks.measuring.repository import ROOT
from benchmarks.paced.engine import NAME as PACED
from benchmarks.paced.layouts import paced_engine
from benchmarks.paced.loaders import Window, combined, late
from benchmarks.paced.report import Case, sections


def cell(tokens: float, seconds: float = 2.0) -> dict[str, Any]:
    used = {
        "front end 0": 0.2, "front end 1": 0.1, "engine process": 0.12, "parent": 0.02, PACED: 0.1,
        "load generators": 0.4,
    }  # fmt: skip
    return {
        "seconds": seconds, "tokens": tokens, "requests": 10, "cancelled": 1, "ttft_ms": [10.0, 20.0],
        "gaps_ms": [48.0] * 190, "outside_ms": [3.0, 5.0, 5.0], "cpu_seconds": used, "others_cpu_seconds": 0.06,
    }  # fmt: skip


def rows(found: dict[Case, list[Window]]) -> list[list[str]]:
    """Cells of each table's only row, in order."""
    lines = [line for line in sections(found) if line.startswith("| 2,000")]
    return [[one.strip() for one in line.strip("|").split("|")] for line in lines]


def test_tokens_of_load_generators_add_up_and_the_processors_that_all_of_them_saw_do_not() -> None:
    window = combined([cell(1500), cell(500)], [9, 7], [0.01, 0.02])
    assert window.tokens_per_second == pytest.approx(1000)
    assert window.cores["front end 0"] == pytest.approx(0.1)
    assert window.costs() == pytest.approx([0.1, 0.05])
    assert window.cost("front end") == pytest.approx(0.15)
    assert window.answers == 20


def test_the_ceiling_is_the_busiest_front_ends_and_the_engine_process_has_its_own() -> None:
    window = combined([cell(1500), cell(500)], [9, 7], [0.01, 0.02])
    cost, seen, shares = rows({Case(2000, 64, 16, 2): [window, window]})
    assert cost[3:] == [
        "2", "0.1500, 0.1500", "0.1000 + 0.0500, 0.1000 + 0.0500", "0.0600, 0.0600", "0.0100, 0.0100",
        "0.2200, 0.2200", "10,000, 10,000", "16,667, 16,667",
    ]  # fmt: skip
    assert seen[4:] == [
        "1,000, 1,000", "20.0, 20.0", "48 / 48", "15 / 20", "5 / 5", "0.01 + 0.02, 0.01 + 0.02", "9 + 7, 9 + 7",
        "40", "4",
    ]  # fmt: skip
    assert shares[4:] == ["0.15", "0.06", "0.01", "0.05", "0.20", "0.03", "0.50"]


def test_one_front_end_has_neither_engine_process_nor_parent() -> None:
    one = cell(2000)
    one["cpu_seconds"] = {"front end 0": 0.2, PACED: 0.1, "load generators": 0.4}
    cost, _, _ = rows({Case(2000, 64, 16, 1): [combined([one], [2], [0.01])]})
    assert cost[4:] == ["0.1000", "none", "none", "none", "0.1000", "10,000", "none"]


@pytest.mark.parametrize(("slow", "expected"), [(0, 0.01), (1, 0.01), (2, 0.1)])
def test_the_lag_is_the_bound_that_99_of_100_looks_kept_to(slow: int, expected: float) -> None:
    before = {0.01: 500.0, 0.1: 500.0, float("inf"): 510.0}
    after = {0.01: 600.0 - slow, 0.1: 600.0, float("inf"): 610.0}
    assert late(before, after) == expected


def test_a_server_without_the_paced_engine_is_not_measured() -> None:
    with pytest.raises(RuntimeError, match=f"expected one process {PACED}"):
        paced_engine(os.getpid())


@pytest.mark.engine
def test_both_kinds_of_server_are_measured_over_the_paced_engine() -> None:
    given = {"streams": 4, "tokens": 8, "seconds": 1, "rounds": 1, "pace": 1000, "streams-per-connection": 1}
    command = [sys.executable, "-m", "benchmarks.paced", *(f"--{name}={value}" for name, value in given.items())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("| 1,000")]
    cells = [[one.strip() for one in line.strip("|").split("|")] for line in lines]
    (alone, several), seen, shares = cells[:2], cells[2:4], cells[4:]
    assert alone[5:8] == ["none", "none", "none"]
    front, engine = float(several[4]), float(several[6])
    assert 0 < front < 50
    assert 0 < engine < 50
    assert float(several[8]) == pytest.approx(front + engine + float(several[7]), abs=0.001)
    for row, front_ends in zip(seen, (1, 2), strict=True):
        each = [int(number) for number in row[10].split("+")]
        assert (len(each), sum(each)) == (front_ends, 4)
        assert int(row[11]) > 0
    assert all(float(row[7]) > 0 for row in shares)
