"""Rollouts of the store as the pure parts know them, and decisions as the store keeps them."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from trivet.rollouts.decisions import Decision, Health
from trivet.rollouts.evidence import Evidence
from trivet.rollouts.spec import RolloutSpec
from trivet.rollouts.spec_json import from_json
from trivet.rollouts.states import Position, State
from trivet.rollouts.thresholds import Thresholds
from trivet.types.rollout import RouteRollout
from trivet.types.rollout_state import Move, RolloutRecord


def position_of(record: RolloutRecord) -> Position:
    """Where it is."""
    return Position(State(record.state), record.step, record.share, record.since, record.judged_since)


def served(record: RolloutRecord, spec: RolloutSpec) -> RouteRollout:
    """What routing has to know of it."""
    shadowed = record.state == State.SHADOW.value
    return RouteRollout(
        id=record.id, state=record.state, step=record.step, stable=spec.stable, candidate=spec.candidate,
        share=record.share, holdout=spec.holdout, salt=record.salt,
        shadow_share=getattr(spec, "shadow_share", 1.0) if shadowed else 0.0, spec_digest=record.spec_digest,
    )  # fmt: skip


def spec_of(record: RolloutRecord) -> RolloutSpec:
    """What it is asked to do. Raises ValueError for a spec of another version of Trivet."""
    return from_json(record.spec)


def move_to(position: Position, event: str, reason: str, message: str, actor: str, evidence: str = "{}") -> Move:
    """The transition to a position that `states.apply` gave."""
    return Move(
        event, position.state.value, position.step, position.share, reason, message, actor, evidence,
        since=position.since, judged_since=position.judged_since,
    )  # fmt: skip


def evidence_json(decision: Decision, health: Health, thresholds: Thresholds, now: float) -> str:
    """All that the decision rested on: see `docs/rollouts.md` for the fields. A number that is not finite is null."""
    told: dict[str, Any] = {
        "reason": decision.reason.value,
        "now": now,
        "health": asdict(health),
        "thresholds": asdict(thresholds),
        "evidence": None if decision.evidence is None else _plain(decision.evidence),
    }
    return json.dumps(_finite(told), sort_keys=True, allow_nan=False)


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
