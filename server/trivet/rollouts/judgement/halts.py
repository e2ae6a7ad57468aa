"""What makes a rollout wait for a person: data that cannot be trusted, or that say nothing for too long."""

from __future__ import annotations

from collections.abc import Iterator

from trivet.rollouts.judgement.case import Case, Reason, Verdict
from trivet.rollouts.judgement.judging import promotion_tests
from trivet.rollouts.judgement.requirements import asked_for, fewest_pairs, fewest_units
from trivet.rollouts.sample_ratio import mismatch
from trivet.rollouts.states import Event, State
from trivet.rollouts.statistics import ROLLBACK_UNITS
from trivet.types.rollout import Arm


def halts(case: Case) -> Iterator[Verdict]:
    """What makes a rollout wait for a person, in order of how little is then known."""
    state, health, spec = case.position.state, case.health, case.spec
    if state is State.WARMING and health.waiting_for and case.now - case.position.since > spec.warming_seconds:
        yield (
            Event.HALT,
            Reason.NOT_WARM,
            f"Not warm after {spec.warming_seconds:g} s: {', '.join(health.waiting_for)}.",
        )
    if state not in (State.SHADOW, State.CANARY, State.AWAITING_APPROVAL):
        return
    if health.holes:
        yield Event.HALT, Reason.DATA_HOLE, f"The step's data have a hole: {'; '.join(health.holes)}."
    if health.stable_slowdown is not None and health.stable_slowdown > spec.stable_slowdown:
        yield (
            Event.HALT,
            Reason.STABLE_SLOWED,
            f"Stable's own time to first token is {health.stable_slowdown:.2f} times what it was at first, "
            f"expected at most {spec.stable_slowdown:g}: the load is shared, so the candidate may be the cause.",
        )
    if case.position.step >= 0:
        yield from _halts_of_step(case)
    elif state is State.SHADOW:
        yield from _halts_of_shadow(case)


def _halts_of_step(case: Case) -> Iterator[Verdict]:
    new, share = case.statistics.new_units, case.position.share
    if mismatch(new[Arm.STABLE], new[Arm.CANDIDATE], share):
        cause = case.health.mismatch_cause or "the cause is unknown"
        yield (
            Event.HALT,
            Reason.SAMPLE_RATIO_MISMATCH,
            f"{new[Arm.CANDIDATE]} of {new[Arm.STABLE] + new[Arm.CANDIDATE]} new units are the candidate's, "
            f"which a share of {share:g} does not explain: {cause}.",
        )
    yield from _silence(case)
    if case.judged_seconds > case.spec.maximum_seconds:
        yield Event.HALT, Reason.MAXIMUM_TIME, _at_maximum_time(case)
    if case.position.state is State.CANARY and asked_for(case) is None:
        for kind, arm, units in fewest_units(case):
            if units == 0:
                yield Event.HALT, Reason.MISSING_DATA, f"{kind}: no request of {arm.value} says anything of it."


def _halts_of_shadow(case: Case) -> Iterator[Verdict]:
    """A shadow that is seldom compared may be silent for longer."""
    spec, since, units = case.spec, case.position.since, case.statistics.units[Arm.CANDIDATE]
    limit = spec.silence_seconds / spec.shadow_share
    last = max(case.statistics.last_counted.get(Arm.CANDIDATE, since), since)
    if case.now - last > limit:
        text = f"No copy of a request has been compared for more than {limit:.0f} s."
        yield Event.HALT, Reason.NO_DATA, text
    if case.now - since > spec.maximum_seconds:
        text = f"The shadow has {units} units after {spec.maximum_seconds:g} s, expected at least {ROLLBACK_UNITS}."
        yield Event.HALT, Reason.MAXIMUM_TIME, text
    if case.now - since >= spec.shadow_seconds and units >= ROLLBACK_UNITS:
        for name, found in fewest_pairs(case):
            if not found:
                yield Event.HALT, Reason.MISSING_DATA, f"{name}: no copy of a request says anything of it."


def _silence(case: Case) -> Iterator[Verdict]:
    """An arm that gets few units may be silent for longer."""
    shares = {Arm.STABLE: 1 - case.position.share, Arm.CANDIDATE: case.position.share}
    since = {arm: max(case.statistics.last_counted.get(arm, case.position.since), case.position.since) for arm in Arm}
    limit = case.spec.silence_seconds
    if case.now - max(since.values()) > limit:
        yield Event.HALT, Reason.NO_DATA, f"No request has counted for more than {limit:g} s."
    for arm in Arm:
        if case.now - since[arm] > limit / shares[arm]:
            yield (
                Event.HALT,
                Reason.NO_DATA,
                f"No request of {arm.value} has counted for more than {limit / shares[arm]:.0f} s.",
            )


def _at_maximum_time(case: Case) -> str:
    proofs = promotion_tests(case.spec, case.statistics)
    parts = [
        f"{test.kind.value} beyond its margin by {100 * test.interval[0]:+.2f} to {100 * test.interval[1]:+.2f} points"
        for test in proofs
        if test.interval is not None
    ]
    return f"Undecided after {case.spec.maximum_seconds:g} s: {'; '.join(parts) or 'no interval is known'}."
