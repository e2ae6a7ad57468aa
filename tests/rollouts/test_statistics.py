"""The boundary and the tests: against figures, against their mathematics, against a plain second way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.rollouts.statistics import ArmSums, boundary, limit_test, promotion_test, rate_and_variance, rollback_test

GOLDEN = (
    (1, 9.028338298713546, 9.676299899442496),
    (15, 3.333290723315074, 4.249236447846125),
    (25, 3.0431933216260147, 4.017318818059845),
    (100, 2.7790942353135217, 3.82725274862059),
    (250, 2.819317204803722, 3.865024566685448),
    (1250, 3.020712266657915, 4.023406598390843),
    (5000, 3.2263685256498613, 4.183247576032896),
)
UNITS = st.lists(st.tuples(st.integers(1, 20), st.floats(0, 1)), min_size=2, max_size=60)


def _of(pairs: list[tuple[int, float]]) -> ArmSums:
    counts = np.array([float(n) for n, _ in pairs])
    return ArmSums.of(counts, counts * np.array([rate for _, rate in pairs]))


def _same(units: int, n: int, bad: int) -> ArmSums:
    """`units` units of `n` requests, the first `bad` of which fail always."""
    return _of([(n, float(number < bad)) for number in range(units)])


@pytest.mark.parametrize(("units", "one", "family"), GOLDEN)
def test_the_boundary_keeps_its_figures(units: float, one: float, family: float) -> None:
    at = np.asarray(float(units))
    assert float(boundary(at, 0.05)) == pytest.approx(one, rel=1e-12)
    assert float(boundary(at, 0.05 / 24)) == pytest.approx(family, rel=1e-12)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 6, 0.05 / 24])
@pytest.mark.parametrize("units", [1.0, 10.0, 100.0, 10_000.0])
def test_the_one_sided_boundary_is_the_two_sided_one_at_twice_alpha_and_a_little_more(
    units: float, alpha: float
) -> None:
    twice = 2 * alpha
    rho2 = (-2 * math.log(twice) + math.log(1 - 2 * math.log(twice))) / 100
    x = units * rho2
    two_sided = math.sqrt(2 * (x + 1) * math.log(math.sqrt(x + 1) / twice) / x)
    found = float(boundary(np.asarray(units), alpha))
    assert two_sided < found < two_sided * (1 + twice)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 24])
@pytest.mark.parametrize("units", [1.0, 10.0, 100.0, 1000.0])
def test_at_the_boundary_the_mixture_over_positive_effects_has_reached_one_over_alpha(
    units: float, alpha: float
) -> None:
    """The mixture of exp(l S - l^2 V / 2) over a half-normal l is a martingale from 1: Ville bounds its maximum."""
    double = -2 * math.log(2 * alpha)
    rho = math.sqrt((double + math.log1p(double)) / 100)
    z = float(boundary(np.asarray(units), alpha))
    effect = np.linspace(0, 12 * rho, 200_001)
    density = 2 * np.exp(-((effect / rho) ** 2) / 2) / (rho * math.sqrt(2 * math.pi))
    mixture = np.exp(effect * z * math.sqrt(units) - effect**2 * units / 2) * density
    reached = float(mixture.sum() * (effect[1] - effect[0]))
    assert 1 / alpha <= reached < 1.3 / alpha


def test_a_random_walk_crosses_the_boundary_no_more_often_than_alpha() -> None:
    rng = np.random.default_rng(11)
    looks = np.arange(1, 3001, dtype=np.float64)
    bound = boundary(looks, 0.05)
    crossed = sum(bool((rng.standard_normal(3000).cumsum() / np.sqrt(looks) > bound).any()) for _ in range(1500))
    assert 15 <= crossed <= 75, "of 1,500: at most 5%, and not so few that the boundary is a wall"


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, -0.1])
def test_an_impossible_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=r"expected a number above 0 and below 0\.5"):
        boundary(np.asarray(10.0), alpha)


@given(UNITS)
def test_rate_and_variance_are_those_of_the_residuals(pairs: list[tuple[int, float]]) -> None:
    rate, variance = rate_and_variance(_of(pairs))
    n = sum(count for count, _ in pairs)
    plain = sum(count * each for count, each in pairs) / n
    residuals = sum((count * each - plain * count) ** 2 for count, each in pairs)
    assert float(rate) == pytest.approx(plain, abs=1e-12)
    assert float(variance) == pytest.approx(residuals / n**2 * len(pairs) / (len(pairs) - 1), abs=1e-9)


@given(UNITS, UNITS)
@settings(max_examples=50)
def test_a_rollback_and_a_proof_never_hold_together(
    stable: list[tuple[int, float]], candidate: list[tuple[int, float]]
) -> None:
    one, other = _of(stable * 3), _of(candidate * 3)
    worse = rollback_test(one, other, tolerance=0.02, alpha=0.01)
    proof = promotion_test(one, other, margin=0.02, ratio=1.0, binary=True, alpha=0.05)
    assert not (worse.crossed and proof.crossed)


def test_a_candidate_that_always_fails_is_rolled_back_although_nothing_varies() -> None:
    found = rollback_test(_same(40, 3, 0), _same(30, 3, 30), tolerance=0.0, alpha=0.01)
    assert found.crossed
    assert math.isinf(found.z)


def test_equal_numbers_that_no_float_can_hold_do_not_differ() -> None:
    for value in (0.1, 0.3, 1 / 3, 0.7):
        arms = []
        for units in (209, 84, 40):
            counts = np.arange(units, dtype=np.float64) % 3 + 1
            arms.append(ArmSums.of(counts, value * counts))
        for stable in arms:
            for candidate in arms:
                found = rollback_test(stable, candidate, tolerance=0.0, alpha=0.01)
                assert not found.crossed
                assert found.z == 0


def test_below_30_units_nothing_is_rolled_back() -> None:
    assert not rollback_test(_same(40, 3, 0), _same(29, 3, 29), tolerance=0.0, alpha=0.01).crossed
    assert not rollback_test(_same(29, 3, 0), _same(40, 3, 40), tolerance=0.0, alpha=0.01).crossed


def test_two_arms_without_any_event_do_not_differ() -> None:
    found = rollback_test(_same(40, 3, 0), _same(40, 3, 0), tolerance=0.0, alpha=0.01)
    assert float(found.z) == 0
    assert not found.crossed


@pytest.mark.parametrize("units", [30, 50, 60])
def test_no_event_among_few_units_proves_nothing(units: int) -> None:
    stable = _same(1000, 5, 5)
    assert not promotion_test(stable, _same(units, 5, 0), margin=0.01, ratio=1.0, binary=True, alpha=0.05).crossed
    assert not promotion_test(
        _same(1000, 5, 0), _same(units, 5, 0), margin=0.01, ratio=1.0, binary=True, alpha=0.05
    ).crossed


def test_no_event_among_many_units_proves_much() -> None:
    found = promotion_test(_same(2000, 5, 10), _same(2000, 5, 0), margin=0.01, ratio=1.0, binary=True, alpha=0.05)
    assert found.crossed


def test_a_tolerance_is_granted() -> None:
    stable, candidate = _same(2000, 2, 20), _same(2000, 2, 160)
    assert rollback_test(stable, candidate, tolerance=0.0, alpha=0.01).crossed
    assert not rollback_test(stable, candidate, tolerance=0.06, alpha=0.01).crossed


def test_no_units_are_no_evidence() -> None:
    nothing = ArmSums.of(np.zeros(0), np.zeros(0))
    for found in (
        rollback_test(nothing, nothing, tolerance=0.0, alpha=0.01),
        promotion_test(nothing, nothing, margin=0.1, ratio=1.0, binary=True, alpha=0.05),
        limit_test(nothing, limit=0.1, alpha=0.05),
    ):
        assert not found.crossed


def test_a_limit_of_its_own() -> None:
    assert limit_test(_same(200, 2, 100), limit=0.1, alpha=0.01).crossed
    assert not limit_test(_same(200, 2, 20), limit=0.1, alpha=0.01).crossed


def test_many_looks_are_judged_as_each_alone() -> None:
    arms = [(_same(100, 2, 5), _same(100, 2, bad)) for bad in (3, 40, 60)]
    fields = ("units", "n", "y", "nn", "ny", "yy")
    stacked = [
        ArmSums(*(np.array([float(getattr(pair[side], field)) for pair in arms]) for field in fields))
        for side in (0, 1)
    ]
    together = rollback_test(stacked[0], stacked[1], tolerance=0.0, alpha=0.01)
    alone = [rollback_test(stable, candidate, tolerance=0.0, alpha=0.01) for stable, candidate in arms]
    assert together.z.tolist() == [float(one.z) for one in alone]
    assert together.crossed.tolist() == [False, True, True]
