"""The page of overheads: intervals that hold, and verdicts that are no better than they."""

from __future__ import annotations

import random
from statistics import median

import pytest

from benchmarks.overheads.features import ENGINE, SCRIPTED, Comparison, names
from benchmarks.overheads.report import interval, section


def test_the_interval_misses_the_median_in_one_case_of_twenty_at_most() -> None:
    chance, missed = random.Random(1), 0
    for _ in range(1000):
        low, high = interval(sorted(chance.gauss(1.0, 0.1) for _ in range(25)))
        missed += not low <= 1.0 <= high
    assert 0 < missed <= 60


def test_few_rounds_have_the_widest_interval() -> None:
    assert interval([0.9, 1.0, 1.1]) == (0.9, 1.1)
    assert interval([1.0]) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("dear", "verdict"),
    [([1.01, 1.02, 1.02], "yes"), ([1.2, 1.3, 1.4], "no"), ([1.0, 1.05, 1.2], "cannot be told")],
)
def test_a_goal_is_met_where_the_whole_interval_is(dear: list[float], verdict: str) -> None:
    rounds = [[(value, 1.0)] for value in dear]
    lines = section("Part", rounds, (Comparison("it", "dear", "plain", 1.1),))
    (row,) = [line for line in lines if line.startswith("| it")]
    assert [cell.strip() for cell in row.split("|")][-2] == verdict
    assert f"{median(dear):.3f}" in row


def test_every_gateway_is_compared_and_none_twice() -> None:
    for part in (SCRIPTED, ENGINE):
        found = names(part)
        assert len(found) == len(set(found))
        assert {one.dear for one in part} | {one.cheap for one in part} == set(found)
