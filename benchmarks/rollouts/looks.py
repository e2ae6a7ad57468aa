"""A step's statistics at every look, from its requests: what the server adds up, for all looks at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.rollouts.by_unit import ByUnit
from benchmarks.rollouts.traffic import Flags, Requests
from trivet.rollouts.smoke import WINDOW_SECONDS, log_wealth
from trivet.rollouts.spec import GuardrailKind
from trivet.rollouts.statistics import FIRST_REQUESTS, ArmSums, Numbers
from trivet.rollouts.tallying.tally import LATE_SECONDS, StepStatistics
from trivet.types.rollout import Arm

EVERY = 8
"""Requests between two looks: a second at 8 requests a second."""


@dataclass(frozen=True)
class Counting:
    """How requests become sums. The server's way is the default; the others are negative controls."""

    first: int = FIRST_REQUESTS
    by_request: bool = False


@dataclass(frozen=True)
class Looks:
    """`sums`: arrays of shape (looks,). `units`, `new`: likewise. `at`: the time of a look."""

    step: int
    at: Numbers
    sums: dict[Arm, dict[GuardrailKind, ArmSums]]
    units: dict[Arm, Numbers]
    new: dict[Arm, Numbers]
    wealth: dict[GuardrailKind, Numbers]
    counted: Numbers

    def __len__(self) -> int:
        return len(self.at)

    def statistics(self, look: int) -> StepStatistics:
        """What the server's decision gets at this look."""
        at = float(self.at[look])
        return StepStatistics(
            step=self.step,
            sums={arm: {kind: _at(sums, look) for kind, sums in kinds.items()} for arm, kinds in self.sums.items()},
            units={arm: int(units[look]) for arm, units in self.units.items()},
            new_units={arm: int(units[look]) for arm, units in self.new.items()},
            log_wealth={kind: float(wealth[look]) for kind, wealth in self.wealth.items()},
            exclusions={},
            counted=int(self.counted[look]),
            last_counted=dict.fromkeys(Arm, at),
        )


def look(requests: Requests, step: int, share: float, counting: Counting, *, smoke: bool) -> Looks:
    """All looks of a step. `smoke`: bets too, which only steps of 1% and below are judged by."""
    sides = {Arm.STABLE: ~requests.candidate, Arm.CANDIDATE: requests.candidate}
    unit = np.arange(len(requests.unit)) if counting.by_request else 2 * requests.unit + requests.candidate
    by_unit = ByUnit.of(unit)
    kept = by_unit.first(requests.counts, counting.first)
    ends = np.arange(EVERY - 1, len(unit), EVERY)
    seen_first = kept & (by_unit.before(kept.astype(np.float64)) == 0)
    arrives = by_unit.before(np.ones(len(unit))) == 0  # a cold request tells that its unit is there
    new = arrives & np.isin(requests.unit, requests.unit[requests.new])
    sums: dict[Arm, dict[GuardrailKind, ArmSums]] = {arm: {} for arm in Arm}
    for kind, numbers in requests.numbers.items():
        parts = _increments(by_unit, numbers, kept & ~np.isnan(numbers))
        for arm, side in sides.items():
            sums[arm][kind] = ArmSums(*(np.cumsum(np.where(side, part, 0.0))[ends] for part in parts))
    return Looks(
        step=step,
        at=requests.at[ends],
        sums=sums,
        units={arm: np.cumsum(seen_first & side)[ends].astype(np.float64) for arm, side in sides.items()},
        new={arm: np.cumsum(new & side)[ends].astype(np.float64) for arm, side in sides.items()},
        wealth={
            kind: _wealth(requests, kept, kind, share, requests.at[ends]) if smoke else np.zeros(len(ends))
            for kind in requests.numbers
        },
        counted=np.cumsum(kept)[ends].astype(np.float64),
    )


def _increments(by_unit: ByUnit, numbers: Numbers, kept: Flags) -> tuple[Numbers, ...]:
    """What each request adds to the six sums: units, n, y, n^2, n y, y^2."""
    values = np.where(kept, numbers, 0.0)
    ones = kept.astype(np.float64)
    n, y = by_unit.before(ones), by_unit.before(values)
    return (
        ones * (n == 0), ones, values, ones * (2 * n + 1),
        ones * ((n + 1) * (y + values) - n * y), ones * (2 * y * values + values**2),
    )  # fmt: skip


def _new_units(requests: Requests) -> Flags:
    """Whether a request's unit was first seen by the rollout in this step."""
    found: Flags = np.isin(requests.unit, requests.unit[requests.new])
    return found


def _wealth(requests: Requests, kept: Flags, kind: GuardrailKind, share: float, looks: Numbers) -> Numbers:
    numbers = requests.numbers[kind]
    first_at = np.full(int(requests.unit.max()) + 1, np.inf)
    np.minimum.at(first_at, requests.unit[kept], requests.at[kept])
    early = kept & ~np.isnan(numbers) & _new_units(requests)
    early &= requests.at - first_at[requests.unit] < WINDOW_SECONDS
    size = len(first_at)
    n = np.bincount(requests.unit[early], minlength=size)
    y = np.bincount(requests.unit[early], weights=numbers[early], minlength=size)
    side = np.zeros(size, dtype=np.bool_)
    side[requests.unit] = requests.candidate
    units = np.nonzero(n)[0]
    units = units[np.argsort(first_at[units], kind="stable")]
    wealth = log_wealth(y[units] / n[units], side[units], share=share, tolerance=0.0)
    highest = np.concatenate([[0.0], np.maximum.accumulate(np.maximum(wealth, 0.0))])
    found: Numbers = highest[np.searchsorted(first_at[units] + WINDOW_SECONDS + LATE_SECONDS, looks, side="right")]
    return found


def _at(sums: ArmSums, look: int) -> ArmSums:
    parts = (sums.units, sums.n, sums.y, sums.nn, sums.ny, sums.yy)
    return ArmSums(*(np.asarray(part[look]) for part in parts))
