"""The states of a rollout and what leads from one to the next: one table, and nothing outside it is legal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType

from trivet.rollouts.spec import RolloutSpec


class State(Enum):
    """Where a rollout is."""

    PENDING = "pending"
    WARMING = "warming"
    SHADOW = "shadow"
    CANARY = "canary"
    AWAITING_APPROVAL = "awaiting_approval"
    """Traffic goes on as before, and so does judging: a candidate that turns bad is rolled back unapproved."""
    HALTED = "halted"
    """The weights stay as they are until a person decides; a rollback needs no person."""
    SOAKING = "soaking"
    """All units have the candidate; stable is kept resident, so that going back takes no loading."""
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"


class Event(Enum):
    """What moves a rollout, decided by data or by a person."""

    START = "start"
    BEGIN_SHADOW = "begin_shadow"
    BEGIN_CANARY = "begin_canary"
    ADVANCE = "advance"
    REQUEST_APPROVAL = "request_approval"
    PROMOTE = "promote"
    FINISH = "finish"
    HALT = "halt"
    RESUME = "resume"
    RESTART_STEP = "restart_step"
    """What both arms answer from has changed, such as an index: the step's statistics begin anew, its share stays."""
    ROLLBACK = "rollback"
    CANCEL = "cancel"


TERMINAL = frozenset({State.PROMOTED, State.ROLLED_BACK, State.CANCELLED})

TRANSITIONS = MappingProxyType(
    {
        (State.PENDING, Event.START): State.WARMING,
        (State.PENDING, Event.CANCEL): State.CANCELLED,
        (State.WARMING, Event.BEGIN_SHADOW): State.SHADOW,
        (State.WARMING, Event.BEGIN_CANARY): State.CANARY,
        (State.WARMING, Event.HALT): State.HALTED,
        (State.WARMING, Event.ROLLBACK): State.ROLLED_BACK,
        (State.WARMING, Event.CANCEL): State.CANCELLED,
        (State.WARMING, Event.RESTART_STEP): State.WARMING,
        (State.SHADOW, Event.RESTART_STEP): State.WARMING,
        (State.CANARY, Event.RESTART_STEP): State.WARMING,
        (State.AWAITING_APPROVAL, Event.RESTART_STEP): State.WARMING,
        (State.HALTED, Event.RESTART_STEP): State.HALTED,
        (State.SOAKING, Event.RESTART_STEP): State.SOAKING,
        (State.SHADOW, Event.BEGIN_CANARY): State.CANARY,
        (State.SHADOW, Event.REQUEST_APPROVAL): State.AWAITING_APPROVAL,
        (State.SHADOW, Event.HALT): State.HALTED,
        (State.SHADOW, Event.ROLLBACK): State.ROLLED_BACK,
        (State.SHADOW, Event.CANCEL): State.CANCELLED,
        (State.CANARY, Event.ADVANCE): State.CANARY,
        (State.CANARY, Event.REQUEST_APPROVAL): State.AWAITING_APPROVAL,
        (State.CANARY, Event.PROMOTE): State.SOAKING,
        (State.CANARY, Event.HALT): State.HALTED,
        (State.CANARY, Event.ROLLBACK): State.ROLLED_BACK,
        (State.CANARY, Event.CANCEL): State.CANCELLED,
        (State.AWAITING_APPROVAL, Event.BEGIN_CANARY): State.CANARY,
        (State.AWAITING_APPROVAL, Event.ADVANCE): State.CANARY,
        (State.AWAITING_APPROVAL, Event.PROMOTE): State.SOAKING,
        (State.AWAITING_APPROVAL, Event.HALT): State.HALTED,
        (State.AWAITING_APPROVAL, Event.ROLLBACK): State.ROLLED_BACK,
        (State.AWAITING_APPROVAL, Event.CANCEL): State.CANCELLED,
        (State.HALTED, Event.RESUME): State.WARMING,
        (State.HALTED, Event.ROLLBACK): State.ROLLED_BACK,
        (State.HALTED, Event.CANCEL): State.CANCELLED,
        (State.SOAKING, Event.FINISH): State.PROMOTED,
        (State.SOAKING, Event.ROLLBACK): State.ROLLED_BACK,
        (State.SOAKING, Event.CANCEL): State.CANCELLED,
    }
)
"""Every legal change. Approval is given by the event that was waited for: begin_canary, advance or promote."""


class IllegalTransition(ValueError):
    """An event that does not apply; the message says where the rollout is and what applies there."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a rollout is. `share`: the candidate's, of the units. Times in seconds of the store's clock.

    `since`: when the state, or the step in it, began. `judged_since`: when the step's statistics began; a halt or a
    wait for approval does not restart them. `step` is an index into the spec's steps, -1 before the first.
    """

    state: State = State.PENDING
    step: int = -1
    share: float = 0.0
    since: float = 0.0
    judged_since: float = 0.0


def apply(position: Position, event: Event, spec: RolloutSpec, now: float) -> Position:
    """The position after `event`. Raises IllegalTransition if the event does not apply."""
    target = TRANSITIONS.get((position.state, event))
    if target is None:
        legal = sorted(known.value for state, known in TRANSITIONS if state is position.state)
        raise IllegalTransition(
            f"{event.value} does not apply to a rollout that is {position.state.value}, expected "
            + (f"one of {', '.join(legal)}" if legal else "a new rollout: this one has ended")
        )
    if event is Event.BEGIN_SHADOW and position.step >= 0:
        raise IllegalTransition("begin_shadow does not apply after the first step has begun, expected begin_canary")
    moved = replace(position, state=target, since=now)
    match event:
        case Event.BEGIN_CANARY:
            return _on_step(moved, spec, max(position.step, 0), now, fresh=position.step < 0)
        case Event.ADVANCE:
            return _advanced(moved, spec, now)
        case Event.PROMOTE:
            return _promoted(moved, spec, now)
        case Event.RESTART_STEP:
            return replace(moved, judged_since=now)
        case Event.ROLLBACK | Event.CANCEL:
            return replace(moved, share=0.0)
        case _:
            return moved


def _on_step(position: Position, spec: RolloutSpec, step: int, now: float, *, fresh: bool) -> Position:
    judged_since = now if fresh else position.judged_since
    return replace(position, step=step, share=spec.steps[step], judged_since=judged_since)


def _advanced(position: Position, spec: RolloutSpec, now: float) -> Position:
    step = position.step + 1
    if position.step < 0 or step >= len(spec.steps):
        where = "before the first step" if position.step < 0 else "at the last step"
        expected = Event.BEGIN_CANARY if position.step < 0 else Event.PROMOTE
        raise IllegalTransition(f"advance does not apply {where}, expected {expected.value}")
    return _on_step(position, spec, step, now, fresh=True)


def _promoted(position: Position, spec: RolloutSpec, now: float) -> Position:
    """A person may promote from any step; the data only from the last one."""
    if position.step < 0:
        raise IllegalTransition("promote does not apply before the first step, expected begin_canary")
    return replace(position, step=len(spec.steps), share=1.0, judged_since=now)
