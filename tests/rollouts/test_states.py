"""The table of states: what leads where, and that nothing else does."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rollout_observations import SPEC
from trivet.rollouts.states import TERMINAL, TRANSITIONS, Event, IllegalTransition, Position, State, apply

LEGAL = list(TRANSITIONS)


def _to(*events: Event) -> Position:
    position = Position()
    for number, event in enumerate(events):
        position = apply(position, event, SPEC, float(number))
    return position


def test_the_whole_way() -> None:
    position = _to(Event.START, Event.BEGIN_SHADOW, Event.BEGIN_CANARY)
    assert (position.state, position.step, position.share) == (State.CANARY, 0, 0.05)
    position = apply(position, Event.ADVANCE, SPEC, 10.0)
    assert (position.step, position.share, position.judged_since) == (1, 0.5, 10.0)
    position = apply(position, Event.PROMOTE, SPEC, 20.0)
    assert (position.state, position.step, position.share) == (State.SOAKING, 2, 1.0)
    assert apply(position, Event.FINISH, SPEC, 30.0).state is State.PROMOTED


@pytest.mark.parametrize(("state", "event"), [pair for pair in product(State, Event) if pair not in TRANSITIONS])
def test_nothing_outside_the_table_is_legal(state: State, event: Event) -> None:
    with pytest.raises(IllegalTransition, match=f"{event.value} does not apply to a rollout that is {state.value}"):
        apply(Position(state=state), event, SPEC, 0.0)


@pytest.mark.parametrize("state", [state for state in State if state not in TERMINAL | {State.PENDING}])
def test_every_running_rollout_can_go_back_and_then_nobody_has_the_candidate(state: State) -> None:
    position = apply(Position(state=state, step=1, share=0.5), Event.ROLLBACK, SPEC, 1.0)
    assert (position.state, position.share) == (State.ROLLED_BACK, 0.0)


def test_a_halt_keeps_weights_and_statistics() -> None:
    canary = _to(Event.START, Event.BEGIN_CANARY, Event.ADVANCE)
    halted = apply(canary, Event.HALT, SPEC, 50.0)
    warming = apply(halted, Event.RESUME, SPEC, 60.0)
    again = apply(warming, Event.BEGIN_CANARY, SPEC, 70.0)
    for position in (halted, warming, again):
        assert (position.step, position.share, position.judged_since) == (1, 0.5, canary.judged_since)


@pytest.mark.parametrize(
    ("state", "after"),
    [
        (State.SHADOW, State.WARMING),
        (State.CANARY, State.WARMING),
        (State.AWAITING_APPROVAL, State.WARMING),
        (State.HALTED, State.HALTED),
        (State.SOAKING, State.SOAKING),
    ],
)
def test_a_step_that_begins_anew_keeps_its_share_and_forgets_its_statistics(state: State, after: State) -> None:
    position = Position(state, 1, 0.5, since=3.0, judged_since=3.0)
    anew = apply(position, Event.RESTART_STEP, SPEC, 50.0)
    assert anew == Position(after, 1, 0.5, since=50.0, judged_since=50.0)
    if after is State.WARMING:
        again = apply(anew, Event.BEGIN_CANARY, SPEC, 51.0)
        assert (again.state, again.step, again.share, again.judged_since) == (State.CANARY, 1, 0.5, 50.0)


def test_there_is_no_step_after_the_last() -> None:
    last = _to(Event.START, Event.BEGIN_CANARY, Event.ADVANCE)
    with pytest.raises(IllegalTransition, match="advance does not apply at the last step, expected promote"):
        apply(last, Event.ADVANCE, SPEC, 9.0)


@pytest.mark.parametrize("event", [Event.ADVANCE, Event.PROMOTE])
def test_a_shadow_that_waits_for_approval_begins_at_the_first_step(event: Event) -> None:
    waiting = _to(Event.START, Event.BEGIN_SHADOW, Event.REQUEST_APPROVAL)
    with pytest.raises(IllegalTransition, match="before the first step, expected begin_canary"):
        apply(waiting, event, SPEC, 9.0)


@given(st.lists(st.sampled_from(Event), max_size=20))
def test_whatever_is_tried_shares_fit_the_state(events: list[Event]) -> None:
    position = Position()
    for event in events:
        try:
            position = apply(position, event, SPEC, position.since + 1)
        except IllegalTransition:
            continue
        if position.state in (State.SOAKING, State.PROMOTED):
            assert position.share == 1
        elif position.state is State.CANARY:
            assert position.share == SPEC.steps[position.step]
        elif position.state in (State.PENDING, State.SHADOW, State.ROLLED_BACK, State.CANCELLED):
            assert position.share == 0
