"""One pure function: where a rollout is, what it is asked to do and what the data say, to what happens next and why.

A rollback comes before everything else, for it is the safe side. Then what makes the data untrustworthy halts. Only
then, and only with all that the spec asks for, a rollout moves on; what is missing is said, and never made up for.
"""

from __future__ import annotations

from dataclasses import dataclass

from trivet.rollouts.judgement.case import Case, Health, Reason, Verdict
from trivet.rollouts.judgement.evidence import Evidence, GuardrailEvidence, Test, gather
from trivet.rollouts.judgement.halts import halts
from trivet.rollouts.judgement.judging import promotion_tests, rollback_tests
from trivet.rollouts.judgement.requirements import fewest_pairs, missing
from trivet.rollouts.observation import Exclusion
from trivet.rollouts.spec import Approval, RolloutSpec
from trivet.rollouts.states import TERMINAL, Event, Position, State
from trivet.rollouts.statistics import ROLLBACK_UNITS
from trivet.rollouts.tallying.tally import StepStatistics
from trivet.types.rollout import Arm


@dataclass(frozen=True, slots=True)
class Decision:
    """`event` is None if the rollout stays where it is; `message` says why, for people."""

    event: Event | None
    reason: Reason
    message: str
    evidence: Evidence | None = None


def decide(spec: RolloutSpec, position: Position, statistics: StepStatistics, health: Health, now: float) -> Decision:
    """What happens next. `now` is the store's clock, in seconds. A pure function of its arguments.

    Raises ValueError for statistics of another step than the position's.
    """
    if statistics.step != position.step:
        raise ValueError(f"statistics of step {statistics.step}, expected those of step {position.step}")
    if position.state in TERMINAL or position.state is State.PENDING:
        return Decision(None, Reason.NOTHING_TO_JUDGE, f"The rollout is {position.state.value}.")
    case = Case(spec, position, statistics, health, now)
    tests = rollback_tests(spec, statistics)
    found = _rollback(tests) or _switched(case) or next(halts(case), None)
    if found is None and _ready_to_prove(case):
        proofs = promotion_tests(spec, statistics)
        tests = (*tests, *proofs)
        found = _unproven(case, proofs)
    event, reason, message = found or _onwards(case)
    return Decision(event, reason, message, gather(statistics, position.share, tests))


def _rollback(tests: tuple[GuardrailEvidence, ...]) -> Verdict | None:
    crossed = [test for test in tests if test.crossed]
    if not crossed:
        return None
    return Event.ROLLBACK, Reason.GUARDRAIL_CROSSED, " ".join(_crossing(test) for test in crossed)


def _crossing(test: GuardrailEvidence) -> str:
    name = test.kind.value
    if test.test is Test.SMOKE:
        return f"{name}: the smoke rule's log wealth {test.z:.2f} reached {test.boundary:.2f}."
    assert test.estimate is not None  # or nothing was crossed
    return (
        f"{name}: the candidate is {100 * test.estimate:+.2f} points beyond what it may be, "
        f"z {test.z:.2f} above {test.boundary:.2f}, {test.stable[0]:.0f} and {test.candidate[0]:.0f} units."
    )


def _switched(case: Case) -> Verdict | None:
    """Answers from two snapshots are not answers of one variant: what was counted of the step counts no more."""
    judged = (State.SHADOW, State.CANARY, State.AWAITING_APPROVAL, State.HALTED)
    if not case.health.switched or case.position.state not in judged:
        return None
    text = f"The step begins anew, for an index of its variants was switched: {'; '.join(case.health.switched)}."
    return Event.RESTART_STEP, Reason.SNAPSHOT_SWITCHED, text


def _ready_to_prove(case: Case) -> bool:
    return case.position.state is State.CANARY and case.last_step and missing(case) is None


def _unproven(case: Case, proofs: tuple[GuardrailEvidence, ...]) -> Verdict | None:
    excluded = case.statistics.exclusions
    without = excluded.get(Exclusion.NO_UNIT, 0)
    kept = (Exclusion.NO_UNIT, Exclusion.BEYOND_FIRST, Exclusion.REPEATED)
    total = case.statistics.counted + sum(excluded.get(reason, 0) for reason in kept)
    if without > case.spec.most_without_unit * total:
        text = f"{without} of {total} requests named no unit, expected at most {case.spec.most_without_unit:.0%}."
        return None, Reason.TOO_MANY_WITHOUT_UNIT, text
    open_ = [test for test in proofs if not test.crossed]
    if not open_:
        return None
    parts = [
        f"{test.kind.value} (z {test.z:.2f}, expected below -{test.boundary:.2f})"
        if test.z is not None and test.boundary is not None
        else test.kind.value
        for test in open_
    ]
    return None, Reason.NOT_PROVEN, f"Not proven yet to be within its margin: {', '.join(parts)}."


def _onwards(case: Case) -> Verdict:
    match case.position.state:
        case State.WARMING:
            return _from_warming(case)
        case State.SHADOW:
            return _from_shadow(case)
        case State.CANARY:
            return _from_canary(case)
        case State.SOAKING:
            return _from_soaking(case)
        case State.AWAITING_APPROVAL:
            return None, Reason.AWAITING_APPROVAL, "A person has to agree; judging goes on."
        case _:
            return None, Reason.NOTHING_TO_JUDGE, f"The rollout is {case.position.state.value}; judging goes on."


def _from_warming(case: Case) -> Verdict:
    if case.health.waiting_for:
        return None, Reason.NOT_WARM, f"The candidate is being warmed on: {', '.join(case.health.waiting_for)}."
    shadow = case.position.step < 0 and case.spec.shadow_seconds > 0
    return Event.BEGIN_SHADOW if shadow else Event.BEGIN_CANARY, Reason.PASSED, "The candidate is warm everywhere."


def _from_shadow(case: Case) -> Verdict:
    lasted = case.now - case.position.since
    if lasted < case.spec.shadow_seconds:
        text = f"{lasted:.0f} s of the {case.spec.shadow_seconds:g} s that the shadow lasts."
        return None, Reason.MINIMUM_TIME, text
    few = [f"{name} has {units}" for name, units in fewest_pairs(case)]
    if few:
        text = f"Too few units whose requests were copied and compared: {', '.join(few)}; expected {ROLLBACK_UNITS}."
        return None, Reason.MISSING_DATA, text
    if case.health.waiting_for:
        return None, Reason.NOT_WARM, f"Not ready for the first step: {', '.join(case.health.waiting_for)}."
    return _approved(case, Event.BEGIN_CANARY, "The shadow has passed.")


def _from_canary(case: Case) -> Verdict:
    needed = missing(case)
    if needed is not None:
        return needed
    if case.last_step:
        return _approved(case, Event.PROMOTE, "Every required guardrail is proven to be within its margin.")
    return _approved(case, Event.ADVANCE, "No guardrail is crossed, and the step has its time and its units.")


def _from_soaking(case: Case) -> Verdict:
    lasted = case.now - case.position.since
    if lasted < case.spec.soak_seconds:
        return None, Reason.MINIMUM_TIME, f"{lasted:.0f} s of the {case.spec.soak_seconds:g} s that the soak lasts."
    if case.health.holes:
        return None, Reason.DATA_HOLE, f"The soak's data have a hole: {'; '.join(case.health.holes)}."
    last = case.statistics.last_counted.get(Arm.CANDIDATE, case.position.since)
    if case.now - last > case.spec.silence_seconds:
        return None, Reason.NO_DATA, f"No request has counted for more than {case.spec.silence_seconds:g} s."
    return Event.FINISH, Reason.PASSED, "The soak has passed."


def _approved(case: Case, event: Event, text: str) -> Verdict:
    approval = case.spec.approval
    if approval is Approval.EVERY_STEP or (approval is Approval.PROMOTION and event is Event.PROMOTE):
        return Event.REQUEST_APPROVAL, Reason.AWAITING_APPROVAL, f"{text} A person has to agree to: {event.value}."
    return event, Reason.PASSED, text
