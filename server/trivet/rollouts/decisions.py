"""One pure function: where a rollout is, what it is asked to do and what the data say, to what happens next and why.

A rollback comes before everything else, for it is the safe side. Then what makes the data untrustworthy halts. Only
then, and only with all that the spec asks for, a rollout moves on; what is missing is said, and never made up for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from trivet.rollouts.evidence import Evidence, GuardrailEvidence, Test, gather
from trivet.rollouts.judging import compared_guardrails, promotion_tests, rollback_tests
from trivet.rollouts.observation import Exclusion
from trivet.rollouts.sample_ratio import mismatch
from trivet.rollouts.smoke import HIGHEST_SHARE
from trivet.rollouts.spec import Approval, RolloutSpec
from trivet.rollouts.states import TERMINAL, Event, Position, State
from trivet.rollouts.statistics import PROMOTION_UNITS, ROLLBACK_UNITS
from trivet.rollouts.tally import StepStatistics
from trivet.types.rollout import Arm


class Reason(Enum):
    """Why a decision is what it is."""

    NOTHING_TO_JUDGE = "nothing_to_judge"
    GUARDRAIL_CROSSED = "guardrail_crossed"
    DATA_HOLE = "data_hole"
    NO_DATA = "no_data"
    MISSING_DATA = "missing_data"
    SAMPLE_RATIO_MISMATCH = "sample_ratio_mismatch"
    STABLE_SLOWED = "stable_slowed"
    NOT_WARM = "not_warm"
    MAXIMUM_TIME = "maximum_time"
    MINIMUM_TIME = "minimum_time"
    MINIMUM_UNITS = "minimum_units"
    TOO_MANY_WITHOUT_UNIT = "too_many_without_unit"
    NOT_PROVEN = "not_proven"
    AWAITING_APPROVAL = "awaiting_approval"
    PASSED = "passed"


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of the data and of the gateways, beside the data themselves.

    `holes`: what was lost or could not be read in this step, in words. `waiting_for`: the gateways on which the
    candidate is not warm or the last change not applied. `stable_slowdown`: stable's p95 of the time to first token
    over its own before the rollout; None if unknown. `mismatch_cause`: what is known of why units are out of ratio.
    """

    holes: tuple[str, ...] = ()
    waiting_for: tuple[str, ...] = ()
    stable_slowdown: float | None = None
    mismatch_cause: str = ""


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
    look = _Look(spec, position, statistics, health, now)
    tests = rollback_tests(spec, statistics)
    found = _rollback(tests) or next(_halts(look), None)
    if found is None and _ready_to_prove(look):
        proofs = promotion_tests(spec, statistics)
        tests = (*tests, *proofs)
        found = _unproven(look, proofs)
    event, reason, message = found or _onwards(look)
    return Decision(event, reason, message, gather(statistics, position.share, tests))


Verdict = tuple[Event | None, Reason, str]


@dataclass(frozen=True, slots=True)
class _Look:
    spec: RolloutSpec
    position: Position
    statistics: StepStatistics
    health: Health
    now: float

    @property
    def last_step(self) -> bool:
        return self.position.step == len(self.spec.steps) - 1

    @property
    def smoke(self) -> bool:
        return 0 <= self.position.step < len(self.spec.steps) and self.position.share <= HIGHEST_SHARE

    @property
    def judged_seconds(self) -> float:
        return self.now - self.position.judged_since


def _rollback(tests: tuple[GuardrailEvidence, ...]) -> Verdict | None:
    crossed = [test for test in tests if test.crossed]
    if not crossed:
        return None
    return Event.ROLLBACK, Reason.GUARDRAIL_CROSSED, " ".join(_crossing(test) for test in crossed)


def _crossing(test: GuardrailEvidence) -> str:
    name = test.kind.value
    if test.test is Test.SMOKE:
        return f"{name}: the smoke rule's log wealth {test.z:.2f} reached {test.boundary:.2f}."
    return (
        f"{name}: the candidate is {test.estimate:+.4f} beyond what it may be, "
        f"z {test.z:.2f} above {test.boundary:.2f}, {test.stable[0]:.0f} and {test.candidate[0]:.0f} units."
    )


def _halts(look: _Look) -> Iterator[Verdict]:
    """What makes a rollout wait for a person, in order of how little is then known."""
    state, health, spec = look.position.state, look.health, look.spec
    if state is State.WARMING and health.waiting_for and look.now - look.position.since > spec.warming_seconds:
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
            f"Stable's own time to first token is {health.stable_slowdown:.2f} times what it was before the rollout, "
            f"expected at most {spec.stable_slowdown:g}: the load is shared, so the candidate may be the cause.",
        )
    if look.position.step >= 0:
        yield from _halts_of_step(look)


def _halts_of_step(look: _Look) -> Iterator[Verdict]:
    new, share = look.statistics.new_units, look.position.share
    if mismatch(new[Arm.STABLE], new[Arm.CANDIDATE], share):
        cause = look.health.mismatch_cause or "the cause is unknown"
        yield (
            Event.HALT,
            Reason.SAMPLE_RATIO_MISMATCH,
            f"{new[Arm.CANDIDATE]} of {new[Arm.STABLE] + new[Arm.CANDIDATE]} new units are the candidate's, "
            f"which a share of {share:g} does not explain: {cause}.",
        )
    yield from _silence(look)
    if look.judged_seconds > look.spec.maximum_seconds:
        yield Event.HALT, Reason.MAXIMUM_TIME, _at_maximum_time(look)
    if look.position.state is State.CANARY and _asked_for(look) is None:
        for kind, arm, units in _fewest_units(look):
            if units == 0:
                yield Event.HALT, Reason.MISSING_DATA, f"{kind}: no request of {arm.value} says anything of it."


def _silence(look: _Look) -> Iterator[Verdict]:
    """An arm that gets few units may be silent for longer."""
    shares = {Arm.STABLE: 1 - look.position.share, Arm.CANDIDATE: look.position.share}
    since = {arm: max(look.statistics.last_counted.get(arm, look.position.since), look.position.since) for arm in Arm}
    limit = look.spec.silence_seconds
    if look.now - max(since.values()) > limit:
        yield Event.HALT, Reason.NO_DATA, f"No request has counted for more than {limit:g} s."
    for arm in Arm:
        if look.now - since[arm] > limit / shares[arm]:
            yield (
                Event.HALT,
                Reason.NO_DATA,
                f"No request of {arm.value} has counted for more than {limit / shares[arm]:.0f} s.",
            )


def _at_maximum_time(look: _Look) -> str:
    proofs = promotion_tests(look.spec, look.statistics)
    parts = [
        f"{test.kind.value} beyond its margin by {test.interval[0]:+.4f} to {test.interval[1]:+.4f}"
        for test in proofs
        if test.interval is not None
    ]
    return f"Undecided after {look.spec.maximum_seconds:g} s: {'; '.join(parts) or 'no interval is known'}."


def _asked_for(look: _Look) -> Verdict | None:
    """Whether time and units that the spec asks for are still missing."""
    spec, units = look.spec, look.statistics.units
    if look.judged_seconds < spec.minimum_seconds:
        text = f"{look.judged_seconds:.0f} s of the {spec.minimum_seconds:g} s that the step lasts at least."
        return None, Reason.MINIMUM_TIME, text
    needed = spec.smoke_units if look.smoke else spec.minimum_units
    if look.last_step and not look.smoke:
        needed = max(needed, PROMOTION_UNITS)
    if min(units.values()) < needed:
        counts = f"{units[Arm.STABLE]} units of stable and {units[Arm.CANDIDATE]} of the candidate"
        return None, Reason.MINIMUM_UNITS, f"{counts}, expected at least {needed} of each."
    return None


def _fewest_units(look: _Look) -> Iterator[tuple[str, Arm, int]]:
    """Each guardrail's units in each arm, where they are too few to have judged it.

    The smoke rule has few units by design: it asks for one, and of the guardrails that promotion asks for alone.
    """
    for guardrail in compared_guardrails(look.spec):
        needed = ROLLBACK_UNITS
        if look.smoke:
            needed = 1 if guardrail.required else 0
        for arm in Arm:
            units = int(look.statistics.sums[arm][guardrail.kind].units)
            if units < needed:
                yield guardrail.kind.value, arm, units


def _missing(look: _Look) -> Verdict | None:
    asked = _asked_for(look)
    if asked is not None:
        return asked
    few = [f"{kind} has {units} units of {arm.value}" for kind, arm, units in _fewest_units(look)]
    if few:
        return None, Reason.MISSING_DATA, f"Too few units to judge by: {', '.join(few)}; expected {ROLLBACK_UNITS}."
    if look.health.waiting_for:
        return None, Reason.NOT_WARM, f"Not ready for the next step: {', '.join(look.health.waiting_for)}."
    return None


def _ready_to_prove(look: _Look) -> bool:
    return look.position.state is State.CANARY and look.last_step and _missing(look) is None


def _unproven(look: _Look, proofs: tuple[GuardrailEvidence, ...]) -> Verdict | None:
    excluded = look.statistics.exclusions
    without = excluded.get(Exclusion.NO_UNIT, 0)
    kept = (Exclusion.NO_UNIT, Exclusion.BEYOND_FIRST, Exclusion.REPEATED)
    total = look.statistics.counted + sum(excluded.get(reason, 0) for reason in kept)
    if without > look.spec.most_without_unit * total:
        text = f"{without} of {total} requests named no unit, expected at most {look.spec.most_without_unit:.0%}."
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


def _onwards(look: _Look) -> Verdict:
    match look.position.state:
        case State.WARMING:
            return _from_warming(look)
        case State.SHADOW:
            return _from_shadow(look)
        case State.CANARY:
            return _from_canary(look)
        case State.SOAKING:
            return _from_soaking(look)
        case State.AWAITING_APPROVAL:
            return None, Reason.AWAITING_APPROVAL, "A person has to agree; judging goes on."
        case _:
            return None, Reason.NOTHING_TO_JUDGE, f"The rollout is {look.position.state.value}; judging goes on."


def _from_warming(look: _Look) -> Verdict:
    if look.health.waiting_for:
        return None, Reason.NOT_WARM, f"The candidate is being warmed on: {', '.join(look.health.waiting_for)}."
    shadow = look.position.step < 0 and look.spec.shadow_seconds > 0
    return Event.BEGIN_SHADOW if shadow else Event.BEGIN_CANARY, Reason.PASSED, "The candidate is warm everywhere."


def _from_shadow(look: _Look) -> Verdict:
    lasted = look.now - look.position.since
    if lasted < look.spec.shadow_seconds:
        text = f"{lasted:.0f} s of the {look.spec.shadow_seconds:g} s that the shadow lasts."
        return None, Reason.MINIMUM_TIME, text
    for guardrail in look.spec.guardrails:
        if guardrail not in compared_guardrails(look.spec):
            units = int(look.statistics.sums[Arm.CANDIDATE][guardrail.kind].units)
            if units < ROLLBACK_UNITS:
                text = f"{guardrail.kind.value} has {units} units, expected at least {ROLLBACK_UNITS}."
                return None, Reason.MISSING_DATA, text
    if look.health.waiting_for:
        return None, Reason.NOT_WARM, f"Not ready for the first step: {', '.join(look.health.waiting_for)}."
    return _approved(look, Event.BEGIN_CANARY, "The shadow has passed.")


def _from_canary(look: _Look) -> Verdict:
    missing = _missing(look)
    if missing is not None:
        return missing
    if look.last_step:
        return _approved(look, Event.PROMOTE, "Every required guardrail is proven to be within its margin.")
    return _approved(look, Event.ADVANCE, "No guardrail is crossed, and the step has its time and its units.")


def _from_soaking(look: _Look) -> Verdict:
    lasted = look.now - look.position.since
    if lasted < look.spec.soak_seconds:
        return None, Reason.MINIMUM_TIME, f"{lasted:.0f} s of the {look.spec.soak_seconds:g} s that the soak lasts."
    if look.health.holes:
        return None, Reason.DATA_HOLE, f"The soak's data have a hole: {'; '.join(look.health.holes)}."
    last = look.statistics.last_counted.get(Arm.CANDIDATE, look.position.since)
    if look.now - last > look.spec.silence_seconds:
        return None, Reason.NO_DATA, f"No request has counted for more than {look.spec.silence_seconds:g} s."
    return Event.FINISH, Reason.PASSED, "The soak has passed."


def _approved(look: _Look, event: Event, text: str) -> Verdict:
    approval = look.spec.approval
    if approval is Approval.EVERY_STEP or (approval is Approval.PROMOTION and event is Event.PROMOTE):
        return Event.REQUEST_APPROVAL, Reason.AWAITING_APPROVAL, f"{text} A person has to agree to: {event.value}."
    return event, Reason.PASSED, text
