"""Decisions as the audit log keeps them, and the same decisions made again from what it keeps."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from trivet.rollouts.judgement.case import Health, Reason
from trivet.rollouts.judgement.decisions import Decision, decide
from trivet.rollouts.judgement.evidence import Evidence, Test
from trivet.rollouts.observation import Exclusion
from trivet.rollouts.ports.operations import Look
from trivet.rollouts.spec import GuardrailKind, RolloutSpec
from trivet.rollouts.spec_json import from_json, to_json
from trivet.rollouts.states import Position, State
from trivet.rollouts.statistics import ArmSums
from trivet.rollouts.tallying.tally import StepStatistics
from trivet.rollouts.tallying.thresholds import Thresholds
from trivet.types.rollout import Arm
from trivet.types.rollout_state import Transition

_NO_SUMS = (0.0,) * 6


def evidence_json(
    spec: RolloutSpec,
    position: Position,
    statistics: StepStatistics,
    health: Health,
    thresholds: Thresholds,
    decision: Decision,
    now: float,
    batches: int,
    snapshots: Mapping[str, str],
) -> str:
    """All that the decision rested on: see `docs/rollouts.md` for the fields. A number that is not finite is null.

    `batches`: how many of the rollout's were read, so that whoever judges the step again reads as many.
    `snapshots`: of the indexes that the arms use, by gateway.
    """
    told: dict[str, Any] = {
        "spec": json.loads(to_json(spec)),
        "position": {**asdict(position), "state": position.state.value},
        "reason": decision.reason.value,
        "message": decision.message,
        "now": now,
        "batches": batches,
        "snapshots": dict(snapshots),
        "health": asdict(health),
        "thresholds": asdict(thresholds),
        "last_counted": {arm.value: at for arm, at in statistics.last_counted.items()},
        "evidence": None if decision.evidence is None else _plain(decision.evidence),
    }
    return json.dumps(_finite(told), sort_keys=True, allow_nan=False)


def repeat(transition: Transition) -> Decision:
    """The decision of an audit entry, made again from the entry alone.

    Raises ValueError for a change by hand, which rests on no data, and for an entry of another version of Trivet.
    """
    told: dict[str, Any] = json.loads(transition.evidence)
    if not told.get("evidence"):
        raise ValueError(
            f"revision {transition.revision} of route {transition.route} is {transition.event} by {transition.actor}, "
            "expected a decision from data"
        )
    return _look(told).decision


def look_of(evidence: str) -> Look:
    """What the leader saw, from the evidence that it told. Raises ValueError for one of another version of Trivet."""
    return _look(json.loads(evidence))


def _look(told: dict[str, Any]) -> Look:
    try:
        position = Position(**{**told["position"], "state": State(told["position"]["state"])})
        health = Health(**{name: _tupled(value) for name, value in told["health"].items()})
        spec = from_json(json.dumps(told["spec"]))
        if told["evidence"] is None:
            decision = Decision(None, Reason(told["reason"]), told["message"])
        else:
            decision = decide(spec, position, _statistics(told), health, told["now"])
        return Look(told["now"], decision, health, Thresholds(**told["thresholds"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no evidence that this version of Trivet knows: {error}") from error


def _statistics(told: dict[str, Any]) -> StepStatistics:
    """The step's statistics, from the tests that rested on them."""
    evidence = told["evidence"]
    by_kind = {GuardrailKind(test["kind"]): test for test in evidence["tests"]}
    return StepStatistics(
        step=evidence["step"],
        sums={
            arm: {kind: _sums(by_kind[kind][arm.value] if kind in by_kind else _NO_SUMS) for kind in GuardrailKind}
            for arm in Arm
        },
        units={Arm(arm): units for arm, units in evidence["units"].items()},
        new_units={Arm(arm): units for arm, units in evidence["new_units"].items()},
        log_wealth={
            GuardrailKind(test["kind"]): test["z"] for test in evidence["tests"] if test["test"] == Test.SMOKE.value
        },
        exclusions={Exclusion(reason): requests for reason, requests in evidence["exclusions"].items()},
        counted=evidence["counted"],
        last_counted={Arm(arm): at for arm, at in told["last_counted"].items()},
    )


def _sums(values: tuple[float, ...]) -> ArmSums:
    return ArmSums(*(np.asarray(value, dtype=np.float64) for value in values))


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _plain(evidence: Evidence) -> dict[str, Any]:
    return {
        "step": evidence.step,
        "share": evidence.share,
        "units": {arm.value: count for arm, count in evidence.units.items()},
        "new_units": {arm.value: count for arm, count in evidence.new_units.items()},
        "counted": evidence.counted,
        "exclusions": {reason.value: count for reason, count in evidence.exclusions.items()},
        "sample_ratio_log_evidence": evidence.sample_ratio_log_evidence,
        "tests": [
            {**asdict(test), "kind": test.kind.value, "test": test.test.value, "interval": test.interval}
            for test in evidence.tests
        ],
    }


def _finite(value: Any) -> Any:
    """The same without what JSON has no word for: a test without any variance has an infinite z."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
