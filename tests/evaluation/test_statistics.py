"""Intervals and tests keep their promises: in simulations of 10,000 evaluations, and against values known elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from trivet.evaluation.statistics import (
    Bootstrap,
    Interval,
    holm,
    mcnemar,
    percentile_bounds,
    percentile_interval,
    wilson,
)

RUNS = 10_000
AT_ONCE = 2_000
DRAWS = 1_000  # of each bootstrap; 10,000 in earnest, which only makes the ends smoother


def differences(n: int, gained: float, lost: float) -> Iterator[NDArray[np.float64]]:
    """(n, AT_ONCE) paired differences at a time: 1 where only the candidate is right, -1 where only the baseline."""
    rng = np.random.default_rng(20)
    for _ in range(0, RUNS, AT_ONCE):
        rolls = rng.random((n, AT_ONCE))
        yield (rolls < gained).astype(float) - (rolls > 1 - lost).astype(float)


@pytest.mark.parametrize(
    ("n", "gained", "lost"), [(116, 0.05, 0.05), (116, 0.30, 0.10), (500, 0.05, 0.05), (500, 0.08, 0.03)]
)
def test_the_interval_of_a_paired_difference_covers_the_truth_at_its_rate(n: int, gained: float, lost: float) -> None:
    bootstrap = Bootstrap(n, draws=DRAWS)
    covered = 0
    for drawn in differences(n, gained, lost):
        low, high = percentile_bounds(bootstrap.means(drawn))
        covered += int(np.sum((low - 1e-9 <= gained - lost) & (gained - lost <= high + 1e-9)))
    assert 0.935 <= covered / RUNS <= 0.97


def test_the_interval_of_a_cost_per_correct_answer_covers_the_truth_at_its_rate() -> None:
    rng, n, runs = np.random.default_rng(21), 200, 1_000
    bootstrap = Bootstrap(n, draws=DRAWS)
    covered = 0
    for _ in range(runs):
        right = (rng.random(n) < 0.7).astype(float)
        costs = rng.lognormal(0.0, 0.5, n) * (1.2 - 0.4 * right)  # right answers are shorter
        interval = percentile_interval(bootstrap.ratios(costs, right))
        assert interval is not None
        truth = math.exp(0.125) * (1.2 - 0.4 * 0.7) / 0.7
        covered += interval.low <= truth <= interval.high
    assert 0.925 <= covered / runs <= 0.975  # 1,000 runs: 3 standard errors are 2 points


@pytest.mark.parametrize(("n", "each"), [(116, 0.05), (500, 0.02), (500, 0.15)])
def test_mcnemar_calls_equal_arms_different_at_most_at_its_rate(n: int, each: float) -> None:
    called = 0
    for drawn in differences(n, each, each):
        pairs = zip((drawn > 0).sum(axis=0), (drawn < 0).sum(axis=0), strict=True)
        called += sum(mcnemar(int(gained), int(lost)) <= 0.05 for gained, lost in pairs)
    assert 0 < called / RUNS <= 0.05


@pytest.mark.parametrize(
    ("gained", "lost", "p_value"),
    [(0, 0, 1.0), (5, 5, 1.0), (1, 0, 1.0), (0, 6, 0.03125), (10, 2, 0.038574), (121, 59, 4.434e-06)],
)
def test_mcnemar_is_the_exact_binomial_test(gained: int, lost: int, p_value: float) -> None:
    assert mcnemar(gained, lost) == pytest.approx(p_value, rel=1e-3)
    assert mcnemar(lost, gained) == mcnemar(gained, lost)


def test_mcnemar_of_many_pairs_neither_overflows_nor_vanishes() -> None:
    assert mcnemar(5000, 5000) == 1.0
    assert 0 <= mcnemar(9000, 1000) < 1e-300


def test_wilson_agrees_with_known_values() -> None:
    interval = wilson(8, 10)
    assert interval.low == pytest.approx(0.4902, abs=1e-4)
    assert interval.high == pytest.approx(0.9433, abs=1e-4)
    assert wilson(0, 20).low == pytest.approx(0.0, abs=1e-12)
    assert wilson(20, 20).high == pytest.approx(1.0)
    assert wilson(20, 20).low < 0.85


def test_holm_adjusts_in_steps() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_a_mean_is_a_ratio_whose_denominator_is_the_number() -> None:
    bootstrap, values = Bootstrap(50, draws=200), np.arange(50, dtype=np.float64)
    assert bootstrap.means(values) == pytest.approx(bootstrap.ratios(values, np.ones(50)))
    assert bootstrap.means(np.stack([values, values * 2], axis=1))[:, 1] == pytest.approx(bootstrap.means(values * 2))


def test_the_same_seed_gives_the_same_interval_and_equal_values_none_at_all() -> None:
    values = np.random.default_rng(3).random(40)
    first, second = (percentile_interval(Bootstrap(40, draws=500).means(values)) for _ in range(2))
    assert first == second
    assert percentile_interval(Bootstrap(40, draws=500).means(np.full(40, 0.5))) == Interval(0.5, 0.5)


def test_what_cannot_be_computed_has_no_interval() -> None:
    one_right = np.zeros(30)
    one_right[0] = 1.0
    assert percentile_interval(Bootstrap(30, draws=500).ratios(np.ones(30), one_right)) is None
    with pytest.raises(ValueError, match="at least one"):
        Bootstrap(0)
