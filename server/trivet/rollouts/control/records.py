"""Rollouts of the store as the pure parts know them."""

from __future__ import annotations

from trivet.rollouts.spec import RolloutSpec
from trivet.rollouts.spec_json import from_json
from trivet.rollouts.states import Event, Position, State
from trivet.types.rollout import RouteRollout
from trivet.types.rollout_state import Move, RolloutRecord, Transition


def position_of(record: RolloutRecord) -> Position:
    """Where it is."""
    return Position(State(record.state), record.step, record.share, record.since, record.judged_since)


def served(record: RolloutRecord, spec: RolloutSpec) -> RouteRollout:
    """What routing has to know of it."""
    shadowed = record.state == State.SHADOW.value
    return RouteRollout(
        id=record.id, state=record.state, step=record.step, stable=spec.stable, candidate=spec.candidate,
        share=record.share, holdout=spec.holdout, salt=record.salt,
        shadow_share=spec.shadow_share if shadowed else 0.0, shadow_running=spec.shadow_running,
        shadow_load=spec.shadow_load, spec_digest=record.spec_digest,
    )  # fmt: skip


def spec_of(record: RolloutRecord) -> RolloutSpec:
    """What it is asked to do. Raises ValueError for a spec of another version of Trivet."""
    return from_json(record.spec)


def began_step(entry: Transition) -> bool:
    """Whether the statistics of the entry's step began with it."""
    return entry.to_step != entry.from_step or entry.event == Event.RESTART_STEP.value


def move_to(position: Position, event: str, reason: str, message: str, actor: str, evidence: str = "{}") -> Move:
    """The transition to a position that `states.apply` gave. What begins with it begins when the store has it."""
    goes_on = position.judged_since != position.since
    return Move(
        event, position.state.value, position.step, position.share, reason, message, actor, evidence,
        judged_since=position.judged_since if goes_on else None,
    )  # fmt: skip
