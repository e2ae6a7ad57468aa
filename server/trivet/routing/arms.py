"""Which arm of a rollout answers a unit: sticky, monotone over the steps, the same on every gateway.

One salt per rollout, fixed over its steps, so a unit changes sides at most once while the share grows, and another
rollout has other units as its first ones. The hashing is `trivet.routing.assignment`'s.
"""

from __future__ import annotations

from dataclasses import dataclass

from trivet.routing.assignment import assign
from trivet.types.receipt import UnitSource
from trivet.types.rollout import Arm


@dataclass(frozen=True, slots=True)
class Assignment:
    """An arm and how it was chosen."""

    arm: Arm
    source: UnitSource


def assign_arm(
    salt: str, unit: str | None, request_id: str, *, share: float, holdout: float = 0.0, forced: Arm | None = None
) -> Assignment:
    """The arm for a request; `share` is the candidate's among the units that are not held out.

    `forced` comes from a tester's credential. A holdout unit stays on stable through all the rollout's steps. Without a
    unit, the request's id is drawn for. Raises ValueError unless `share` is in [0, 1] and `holdout` in [0, 1).
    """
    if not 0 <= share <= 1 or not 0 <= holdout < 1:
        raise ValueError(f"share {share} and holdout {holdout}, expected numbers from 0 to 1, the holdout below 1")
    if forced is not None:
        return Assignment(forced, UnitSource.FORCED)
    if unit is None:
        return Assignment(_drawn(salt + "/request", request_id, share), UnitSource.RANDOM)
    if holdout and assign(salt + "/holdout", unit, {"held": holdout, "free": 1 - holdout}) == "held":
        return Assignment(Arm.STABLE, UnitSource.HOLDOUT)
    return Assignment(_drawn(salt, unit, share), UnitSource.REQUEST)


def is_shadowed(salt: str, unit: str, share: float) -> bool:
    """Whether a unit's requests are copied, as `share` of the units' are: as sticky and monotone as its arm.

    Raises ValueError unless `share` is in [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share {share}, expected a number from 0 to 1")
    return assign(salt + "/shadow", unit, {"copied": share, "alone": 1 - share}) == "copied"


def _drawn(salt: str, unit: str, share: float) -> Arm:
    return Arm(assign(salt, unit, {Arm.STABLE.value: 1 - share, Arm.CANDIDATE.value: share}))
