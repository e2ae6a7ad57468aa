"""Whether something has to be done at all, and whether the model can do it when it is told and given the context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trivet.advice.comparison import Comparisons, Share, best, value_right
from trivet.advice.evidence import ArmEvidence, Evidence, Knowledge
from trivet.advice.result import Finding, Step

GAP = "Is there a gap to close?"
CAPABLE = "Does the model show the capability when it is told and given the context?"


@dataclass(frozen=True, slots=True)
class Capability:
    """`teacher`: another model's arm that shows what the own one does not."""

    step: Step
    teacher: ArmEvidence | None = None


def gap(evidence: Evidence, comparisons: Comparisons) -> Step:
    """Whether the current arm has too little right, or another arm is shown to have more."""
    current, wishes = evidence.arm(evidence.current), evidence.wishes
    share = comparisons.share(current)
    told = f"{current.name} has {share} right, and {100 * wishes.target:g}% are wanted (n = {share.n})"
    better = [arm for arm in evidence.asked if arm is not current and arm.own_model]
    found = [(arm, comparisons.difference(arm, current)) for arm in better]
    ahead = [(arm, difference) for arm, difference in found if difference.gains(wishes.margin)]
    if ahead:
        arm, difference = max(ahead, key=lambda item: item[1].value)
        return Step("gap", GAP, Finding.YES, f"{told}; {arm.name} has {difference} more")
    if share.high < wishes.target:
        return Step("gap", GAP, Finding.YES, told)
    if share.low >= wishes.target:
        changes = f"a share of right answers below {100 * wishes.target:g}%, or an arm that is shown to have more"
        return Step("gap", GAP, Finding.NO, told, changes)
    more = comparisons.more_for_share(share, wishes.target)
    return Step("gap", GAP, Finding.OPEN, told, needs=(questions(more),))


def capability(evidence: Evidence, comparisons: Comparisons) -> Capability:
    """Judged with the form set aside: a wrong form is a gap of behaviour. Half way between chance and all right is
    enough to say that the capability is there."""
    floor = (1 + evidence.chance) / 2
    own = [arm for arm in evidence.asked if arm.own_model]
    shares = [(arm, comparisons.share(arm, value_right)) for arm in own]
    arm, share = max(shares, key=lambda item: item[1].low)
    told = f"{arm.name} has {share} right with the form set aside; {100 * floor:.0f}% show it"
    if share.low >= floor:
        return Capability(Step("capability", CAPABLE, Finding.YES, told))
    missing = _context_missing(evidence, own)
    if missing:
        return Capability(Step("capability", CAPABLE, Finding.OPEN, told, needs=(missing,)))
    if all(share.high < floor for _, share in shares):
        teacher = _teacher(evidence, comparisons, floor)
        other = "" if teacher is None else f"; the other model of {teacher.name} shows it"
        changes = "an arm of this model that has more than that right: another prompt, or time to think"
        return Capability(Step("capability", CAPABLE, Finding.NO, told + other, changes), teacher)
    more = max(comparisons.more_for_share(share, floor) for _, share in _undecided(shares, floor))
    return Capability(Step("capability", CAPABLE, Finding.OPEN, told, needs=(questions(more),)))


def _undecided(shares: Sequence[tuple[ArmEvidence, Share]], floor: float) -> list[tuple[ArmEvidence, Share]]:
    return [(arm, share) for arm, share in shares if share.low < floor <= share.high]


def _context_missing(evidence: Evidence, own: Sequence[ArmEvidence]) -> str:
    if evidence.corpus is None or any(arm.knowledge is not Knowledge.NONE for arm in own):
        return ""
    return f"an arm that is given documents of {evidence.corpus.name}"


def _teacher(evidence: Evidence, comparisons: Comparisons, floor: float) -> ArmEvidence | None:
    others = [arm for arm in evidence.asked if not arm.own_model]
    return best((arm for arm in others if comparisons.share(arm, value_right).low >= floor), value_right)


def questions(more: int) -> str:
    """What to collect, in words."""
    return f"about {more:,} more questions with right answers"
