"""The two rules that promise their error rate exactly, checked by adding up all outcomes."""

from __future__ import annotations

from itertools import product
from math import comb, exp

import numpy as np
import pytest

from trivet.rollouts.sample_ratio import log_evidence, mismatch
from trivet.rollouts.smoke import log_wealth


@pytest.mark.parametrize("share", [0.01, 0.2])
def test_without_harm_the_wealth_stays_1_in_the_mean(share: float) -> None:
    """Over all assignments of units whose numbers do not depend on it."""
    numbers = np.array([0.0, 1.0, 0.25, 0.0, 1.0])
    mean = 0.0
    for sides in product((False, True), repeat=len(numbers)):
        chance = float(np.prod([share if side else 1 - share for side in sides]))
        mean += chance * exp(log_wealth(numbers, np.array(sides), share=share, tolerance=0.0)[-1])
    assert mean == pytest.approx(1, abs=1e-12)


def test_with_a_tolerance_it_sinks() -> None:
    numbers = np.array([0.0, 1.0, 0.25, 0.0])
    mean = 0.0
    for sides in product((False, True), repeat=len(numbers)):
        chance = 0.5 ** len(numbers)
        mean += chance * exp(log_wealth(numbers, np.array(sides), share=0.5, tolerance=0.1)[-1])
    assert mean < 0.97


def test_a_gross_failure_is_found_in_few_units() -> None:
    rng = np.random.default_rng(3)
    side = rng.random(4000) < 0.01
    numbers = np.where(side, rng.random(4000) < 0.5, rng.random(4000) < 0.005).astype(np.float64)
    wealth = log_wealth(numbers, side, share=0.01, tolerance=0.0)
    found = int(np.argmax(wealth > np.log(480)))
    assert found > 0
    assert side[:found].sum() <= 25


def test_the_wealth_of_nobody() -> None:
    assert len(log_wealth(np.zeros(0), np.zeros(0, dtype=np.bool_), share=0.01, tolerance=0.0)) == 0


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_shares_that_compare_nothing_are_refused(share: float) -> None:
    with pytest.raises(ValueError, match="expected a number between 0 and 1"):
        log_wealth(np.zeros(1), np.zeros(1, dtype=np.bool_), share=share, tolerance=0.0)
    with pytest.raises(ValueError, match="expected a number between 0 and 1"):
        log_evidence(1, 1, share)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.25, 0.5, 0.9])
def test_without_mismatch_the_e_value_is_1_in_the_mean(share: float) -> None:
    units = 40
    mean = sum(
        comb(units, candidate) * share**candidate * (1 - share) ** (units - candidate)
        * exp(log_evidence(units - candidate, candidate, share))
        for candidate in range(units + 1)
    )  # fmt: skip
    assert mean == pytest.approx(1, rel=1e-9)


def test_mismatches() -> None:
    assert not mismatch(0, 0, 0.5)
    assert not mismatch(950, 50, 0.05)
    assert mismatch(1950, 50, 0.05)
    assert mismatch(700, 500, 0.5)
    with pytest.raises(ValueError, match="expected counts of at least 0"):
        log_evidence(-1, 2, 0.5)
