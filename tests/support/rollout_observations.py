"""Observations and specs for the tests of rollouts."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from trivet.rollouts.observation import Observation, Outcome
from trivet.rollouts.spec import RolloutSpec
from trivet.types.rollout import Arm

SPEC = RolloutSpec(
    route="support",
    stable="sorter@1",
    candidate="sorter@2",
    stable_digest="1" * 64,
    candidate_digest="2" * 64,
    steps=(0.05, 0.5),
    minimum_seconds=60.0,
)


def observation(number: int = 0, **changes: Any) -> Observation:
    """A request that counts and was answered well, unless `changes` say otherwise."""
    plain = Observation(
        request_id=f"request-{number}",
        arm=Arm.STABLE,
        step=0,
        at=float(number),
        outcome=Outcome.ANSWERED,
        unit=f"unit-{number}",
        text=f"text-{number}",
        ttft_ms=100.0,
        total_ms=900.0,
        cost_nano_usd=1000,
        format_valid=True,
    )
    return replace(plain, **changes)


def drawn(seed: int, count: int, *, share: float = 0.5, step: int = 1, bad: float = 0.05) -> list[Observation]:
    """Requests of 200 units with everything in them that may be left out; `bad`: the candidate's broken forms."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        unit = int(200 * rng.random() ** 2)
        arm = Arm.CANDIDATE if random.Random(f"{seed} {unit}").random() < share else Arm.STABLE
        outcome = rng.choices(list(Outcome), weights=(90, 2, 1, 3, 2, 2))[0]
        broken = rng.random() < (bad if arm is Arm.CANDIDATE else 0.05)
        known = outcome not in (Outcome.REFUSED, Outcome.TIMED_OUT)
        one = observation(
            number,
            arm=arm,
            step=step,
            at=number / 10,
            outcome=outcome,
            unit=None if rng.random() < 0.02 else f"unit-{unit}",
            text=f"text-{rng.randrange(40)}",
            ttft_ms=rng.lognormvariate(5, 0.5) if known and rng.random() < 0.97 else None,
            total_ms=rng.lognormvariate(7, 0.4),
            cost_nano_usd=rng.randrange(1, 4000) if known else None,
            format_valid=None if rng.random() < 0.05 else not broken,
            degraded=rng.random() < 0.02,
            feedback=rng.choice((0.0, 0.5, 1.0)) if rng.random() < 0.3 else None,
            cold=rng.random() < 0.02,
            forced=rng.random() < 0.01,
            holdout=rng.random() < 0.01,
            shadow=rng.random() < 0.01,
            synthetic=rng.random() < 0.01,
        )
        found.append(one)
    return found
