"""Rollouts that have ended, as a client reads them: judged by the rules themselves, from drawn observations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from enum import Enum
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from tests.support.rollout_observations import drawn
from trivet.api.v1 import rollout_pb2
from trivet.cli.rollout.report.history import History, read_entry
from trivet.cli.rollout.report.replay import StepObservations, looks
from trivet.rollouts.decisions import Decision, Health, decide
from trivet.rollouts.evidence import Evidence
from trivet.rollouts.observation import Observation
from trivet.rollouts.ports.operations import GatewayView, RolloutStatus
from trivet.rollouts.spec import RolloutSpec
from trivet.rollouts.states import Position, State
from trivet.rollouts.tally import StepTally
from trivet.rpc.rollouts.wire import rollout_to_proto

BEGUN = 1_795_780_800.0  # 2026-11-27 12:00:00 UTC
SPEC = RolloutSpec(
    "tickets", "sorter", "sorter-2", "1" * 64, "2" * 64, steps=(0.01, 0.25, 0.5), minimum_seconds=60.0,
    minimum_units=40, smoke_units=1,
)  # fmt: skip

_TARGETS = {"rollback": State.ROLLED_BACK, "promote": State.SOAKING, "halt": State.HALTED}


def as_json(evidence: Evidence) -> str:
    """The evidence of a decision as the audit log has it."""

    def plain(value: Any) -> Any:
        if isinstance(value, Enum):
            return value.value
        if isinstance(value, Mapping):
            return {plain(key): plain(one) for key, one in value.items()}
        return [plain(one) for one in value] if isinstance(value, list | tuple) else value

    return json.dumps(plain(asdict(evidence)))


def history(bad: float = 0.3, count: int = 1500) -> History:
    """Three steps, each left by a decision of the rules; `bad`: the candidate's broken forms in the last one."""
    spec, entries, steps = SPEC, [], []
    at = BEGUN + 20
    entries.append(_entry(1, BEGUN, "create", State.PENDING, State.PENDING, -1, -1, 0.0, None, "Made."))
    entries.append(_entry(2, BEGUN + 5, "start", State.PENDING, State.WARMING, -1, -1, 0.0, None, "We want it."))
    entries.append(_entry(3, at, "begin_canary", State.WARMING, State.CANARY, -1, 0, spec.steps[0], None, "Warm."))
    for step, share in enumerate(spec.steps):
        last = step == len(spec.steps) - 1
        observed = [
            _moved(one, at) for one in drawn(seed=step, count=count, share=share, step=step, bad=bad if last else 0.05)
        ]
        steps.append(StepObservations(step, share, observed))
        tally = StepTally(step, spec.guardrails)
        for one in observed:
            tally.add(one)
        now = observed[-1].at
        position = Position(State.CANARY, step, share, at, at)
        found: Decision = decide(spec, position, tally.statistics(share=share, now=now), Health(), now)
        event = found.event.value if found.event else "halt"
        after = {"rollback": 0.0, "promote": 1.0}.get(event, spec.steps[min(step + 1, len(spec.steps) - 1)])
        target = _TARGETS.get(event, State.CANARY)
        to_step = step + (event in ("advance", "promote"))
        entries.append(
            _entry(
                4 + step, now, event, State.CANARY, target, step, to_step, after, found.evidence, found.message,
                reason=found.reason.value,
            )
        )  # fmt: skip
        at = now
        if event != "advance":
            break
    status = RolloutStatus(
        id="r-7f3a", route="tickets", spec=spec, spec_digest=spec.digest(), state=target, step=step, share=after,
        revision=entries[-1].revision, created_at=BEGUN, since=at, judged_since=at,
        gateways=(
            GatewayView("gateway-a", "10.0.0.1:7601", 0.4, True, entries[-1].revision),
            GatewayView("gateway-b", "10.0.0.2:7601", 0.6, True, entries[-1].revision - 1, "loading ticket-sorter@2"),
        ),
    )  # fmt: skip
    proto = rollout_to_proto(status)
    proto.last_transition.CopyFrom(entries[-1])
    return History(proto, [read_entry(one) for one in entries], list(looks(spec, steps)))


def _moved(one: Observation, at: float) -> Observation:
    return replace(one, at=at + one.at)


def _entry(
    revision: int, at: float, event: str, before: State, after: State, from_step: int, to_step: int, share: float,
    evidence: Evidence | None, message: str, reason: str = "operator",
) -> rollout_pb2.RolloutTransition:  # fmt: skip
    whole, rest = divmod(round(at * 1_000_000), 1_000_000)
    return rollout_pb2.RolloutTransition(
        rollout="r-7f3a", route="tickets", revision=revision, fence=1, at=Timestamp(seconds=whole, nanos=rest * 1000),
        event=event, from_state=f"ROLLOUT_STATE_{before.name}", to_state=f"ROLLOUT_STATE_{after.name}",
        from_step=from_step, to_step=to_step, share=share, reason=reason, message=message,
        actor="controller" if evidence else "operator (key ops)",
        evidence="" if evidence is None else as_json(evidence),
    )  # fmt: skip
