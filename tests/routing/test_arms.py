"""Units keep their side: over steps, gateways and requests."""

from __future__ import annotations

import pytest

from trivet.routing.arms import assign_arm
from trivet.types.receipt import UnitSource
from trivet.types.rollout import Arm

UNITS = [f"user-{number}" for number in range(4000)]


def _arms(share: float, salt: str = "salt", holdout: float = 0.0) -> list[Arm]:
    return [assign_arm(salt, unit, "r", share=share, holdout=holdout).arm for unit in UNITS]


def test_a_unit_changes_sides_at_most_once_while_the_share_grows() -> None:
    before = _arms(0.0)
    assert set(before) == {Arm.STABLE}
    for share in (0.01, 0.05, 0.25, 0.5, 1.0):
        now = _arms(share)
        assert all(new is Arm.CANDIDATE for old, new in zip(before, now, strict=True) if old is Arm.CANDIDATE)
        assert abs(now.count(Arm.CANDIDATE) / len(UNITS) - share) < 0.03
        before = now
    assert set(before) == {Arm.CANDIDATE}


def test_another_salt_tries_it_on_others() -> None:
    both = sum(one is other is Arm.CANDIDATE for one, other in zip(_arms(0.1), _arms(0.1, "other"), strict=True))
    assert both / len(UNITS) == pytest.approx(0.01, abs=0.006)


def test_the_holdout_is_the_same_at_every_step_and_independent_of_the_side() -> None:
    def held(share: float) -> set[str]:
        found = ((unit, assign_arm("salt", unit, "r", share=share, holdout=0.1)) for unit in UNITS)
        return {unit for unit, one in found if one.source is UnitSource.HOLDOUT}

    assert held(0.05) == held(0.9)
    assert len(held(0.5)) / len(UNITS) == pytest.approx(0.1, abs=0.02)
    out = held(0.5)
    assert all(assign_arm("salt", unit, "r", share=1.0, holdout=0.1).arm is Arm.STABLE for unit in out)
    free = [unit for unit in UNITS if unit not in out]
    candidates = sum(assign_arm("salt", unit, "r", share=0.5, holdout=0.1).arm is Arm.CANDIDATE for unit in free)
    assert candidates / len(free) == pytest.approx(0.5, abs=0.03)


def test_without_a_unit_requests_are_drawn_each() -> None:
    found = [assign_arm("salt", None, f"request-{number}", share=0.25) for number in range(2000)]
    assert {one.source for one in found} == {UnitSource.RANDOM}
    assert sum(one.arm is Arm.CANDIDATE for one in found) / 2000 == pytest.approx(0.25, abs=0.04)


def test_a_tester_chooses() -> None:
    found = assign_arm("salt", "user-1", "r", share=0.0, holdout=0.5, forced=Arm.CANDIDATE)
    assert (found.arm, found.source) == (Arm.CANDIDATE, UnitSource.FORCED)


@pytest.mark.parametrize(("share", "holdout"), [(-0.1, 0), (1.1, 0), (0.5, 1.0), (0.5, -0.1), (float("nan"), 0)])
def test_impossible_shares_are_refused(share: float, holdout: float) -> None:
    with pytest.raises(ValueError, match="expected numbers from 0 to 1"):
        assign_arm("salt", "user", "r", share=share, holdout=holdout)
