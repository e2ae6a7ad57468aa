"""Between the messages about rollouts and the domain's types."""

from __future__ import annotations

import math

from google.protobuf.timestamp_pb2 import Timestamp

from trivet.api.v1 import rollout_pb2
from trivet.errors import Problems
from trivet.rollouts.judgement.evidence import Evidence, GuardrailEvidence, Sums
from trivet.rollouts.ports.operations import GatewayView, Look, RolloutStatus
from trivet.rollouts.spec import RolloutSpec
from trivet.rollouts.states import State
from trivet.types.request import Caller
from trivet.types.rollout import Arm
from trivet.types.rollout_state import StoredBatch, Transition

_STATES = {state.value: f"ROLLOUT_STATE_{state.name}" for state in State}
_SAME_IN_BOTH = (
    "stable", "candidate", "stable_digest", "candidate_digest", "alpha", "promotion_alpha", "minimum_seconds",
    "minimum_units", "smoke_units", "maximum_seconds", "silence_seconds", "warming_seconds", "shadow_seconds",
    "shadow_share", "shadow_running", "shadow_load", "soak_seconds", "holdout", "most_without_unit", "stable_slowdown",
)  # fmt: skip
"""The fields of a spec that have the same name and the same kind in the contract."""


def check_change(change: rollout_pb2.RolloutChange) -> None:
    """Raise InvalidRequest for a change that does not say why, or says it in what a log cannot show."""
    problems = Problems()
    problems.expect(bool(change.reason.strip()), "change.reason", "is empty, expected why the rollout is changed")
    for field in ("reason", "actor"):
        text: str = getattr(change, field)
        problems.expect(text.isprintable(), f"change.{field}", "expected printable characters, in one line")
    problems.refuse()


def actor_of(change: rollout_pb2.RolloutChange, caller: Caller) -> str:
    """Who changes a rollout, as the audit log has it: for whom the key acts, and the key."""
    key = f"key {caller.key}" if caller.key else "no key"
    return f"{change.actor} ({key})" if change.actor else f"operator ({key})"


def rollout_to_proto(status: RolloutStatus) -> rollout_pb2.Rollout:
    """A rollout as operators see it."""
    return rollout_pb2.Rollout(
        id=status.id,
        route=status.route,
        spec=_spec_to_proto(status.spec),
        spec_digest=status.spec_digest,
        state=_STATES[status.state.value],
        step=status.step,
        share=status.share,
        revision=status.revision,
        created_at=_timestamp(status.created_at),
        changed_at=_timestamp(status.since),
        judged_since=_timestamp(status.judged_since),
        last_transition=None if status.last is None else transition_to_proto(status.last),
        look=None if status.look is None else _look_to_proto(status.look),
        gateways=[_gateway_to_proto(gateway) for gateway in status.gateways],
        store_staleness_seconds=status.staleness,
    )


def transition_to_proto(transition: Transition) -> rollout_pb2.RolloutTransition:
    """An entry of the audit log."""
    return rollout_pb2.RolloutTransition(
        rollout=transition.rollout,
        route=transition.route,
        revision=transition.revision,
        fence=transition.fence,
        at=_timestamp(transition.at),
        event=transition.event,
        from_state=_STATES.get(transition.from_state),
        to_state=_STATES[transition.to_state],
        from_step=transition.from_step,
        to_step=transition.to_step,
        share=transition.share,
        reason=transition.reason,
        message=transition.message,
        actor=transition.actor,
        evidence=transition.evidence,
    )


def batch_to_proto(stored: StoredBatch) -> rollout_pb2.ReadRolloutObservationsResponse:
    """A batch of observations."""
    return rollout_pb2.ReadRolloutObservationsResponse(
        number=stored.number,
        step=stored.batch.step,
        gateway=stored.batch.gateway,
        at=_timestamp(stored.at),
        data=stored.batch.data,
    )


def _spec_to_proto(spec: RolloutSpec) -> rollout_pb2.RolloutSpec:
    guardrails = [
        rollout_pb2.RolloutGuardrail(
            guardrail=one.kind.value,
            tolerance=one.tolerance,
            margin=one.margin,
            ratio=one.ratio,
            slower=one.slower,
            required=one.required,
        )
        for one in spec.guardrails
    ]
    same = {field: getattr(spec, field) for field in _SAME_IN_BOTH}
    return rollout_pb2.RolloutSpec(steps=spec.steps, guardrails=guardrails, approval=spec.approval.value, **same)


def _look_to_proto(look: Look) -> rollout_pb2.RolloutLook:
    decision, health = look.decision, look.health
    proto = rollout_pb2.RolloutLook(
        at=_timestamp(look.at),
        event="" if decision.event is None else decision.event.value,
        reason=decision.reason.value,
        message=decision.message,
        thresholds=rollout_pb2.RolloutThresholds(
            ttft_ms=look.thresholds.ttft_ms,
            total_ms=look.thresholds.total_ms,
            cost_nano_usd=look.thresholds.cost_nano_usd,
        ),
        holes=health.holes,
        waiting_for=health.waiting_for,
        stable_slowdown=health.stable_slowdown,
    )
    if decision.evidence is not None:
        _add_evidence(proto, decision.evidence)
    return proto


def _add_evidence(proto: rollout_pb2.RolloutLook, evidence: Evidence) -> None:
    proto.step, proto.share, proto.counted = evidence.step, evidence.share, evidence.counted
    for arm, message in ((Arm.STABLE, proto.stable), (Arm.CANDIDATE, proto.candidate)):
        message.units, message.new_units = evidence.units.get(arm, 0), evidence.new_units.get(arm, 0)
    for reason, requests in sorted(evidence.exclusions.items(), key=lambda item: item[0].value):
        proto.exclusions.add(reason=reason.value, requests=requests)
    proto.estimates.extend(_estimate_to_proto(test) for test in evidence.tests)
    if evidence.sample_ratio_log_evidence is not None:
        proto.sample_ratio_log_evidence = evidence.sample_ratio_log_evidence


def _estimate_to_proto(test: GuardrailEvidence) -> rollout_pb2.RolloutEstimate:
    lower, upper = test.interval or (None, None)
    return rollout_pb2.RolloutEstimate(
        guardrail=test.kind.value,
        test=test.test.value,
        alpha=test.alpha,
        tolerance=test.tolerance,
        ratio=test.ratio,
        estimate=_finite(test.estimate),
        lower=_finite(lower),
        upper=_finite(upper),
        standard_error=_finite(test.standard_error),
        z=_finite(test.z),
        boundary=_finite(test.boundary),
        crossed=test.crossed,
        stable=_sums_to_proto(test.stable),
        candidate=_sums_to_proto(test.candidate),
    )


def _finite(number: float | None) -> float | None:
    """Absent where it is infinite, for JSON has no word for it: a boundary without units, a z without variance."""
    return number if number is not None and math.isfinite(number) else None


def _sums_to_proto(sums: Sums) -> rollout_pb2.RolloutSums:
    units, n, y, nn, ny, yy = sums
    return rollout_pb2.RolloutSums(units=int(units), n=int(n), y=y, nn=nn, ny=ny, yy=yy)


def _gateway_to_proto(gateway: GatewayView) -> rollout_pb2.RolloutGateway:
    return rollout_pb2.RolloutGateway(
        id=gateway.id,
        address=gateway.address,
        heartbeat_age_seconds=gateway.age,
        live=gateway.live,
        applied_revision=gateway.applied,
        ready=not gateway.problem,
        problem=gateway.problem,
        same_spec=gateway.same_spec,
        overridden=gateway.overridden,
    )


def _timestamp(seconds: float) -> Timestamp:
    whole, rest = divmod(round(seconds * 1_000_000), 1_000_000)
    return Timestamp(seconds=whole, nanos=rest * 1000)
