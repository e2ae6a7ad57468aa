"""Whether what is left of the gap is behaviour (form, style, labels, a narrow domain) that an adapter closes."""

from __future__ import annotations

from dataclasses import dataclass

from trivet.advice.capability import questions
from trivet.advice.comparison import Comparisons, best, value_right
from trivet.advice.evidence import ArmEvidence, Evidence, Knowledge
from trivet.advice.result import Finding, Step

ADAPTER = "Is what is left a gap of behaviour that an adapter closes?"
FEWEST, RELIABLE = 200, 1000  # examples of a training


@dataclass(frozen=True, slots=True)
class Behaviour:
    """`open_arm`: the best one without an adapter. `adapter`: the measured one that is worth having. `train`: an
    adapter that has yet to be trained is. `hardly_left`: whether a gap is left is open, and likely there is none."""

    step: Step
    open_arm: ArmEvidence | None
    adapter: ArmEvidence | None = None
    train: bool = False
    hardly_left: bool = False


def behaviour(evidence: Evidence, comparisons: Comparisons, chosen: Knowledge) -> Behaviour:
    """With the knowledge that was chosen; an adapter may have it retrieved instead of in the prefix."""
    own = [arm for arm in evidence.asked if arm.own_model]
    without = best(arm for arm in own if not arm.adapter and arm.knowledge is chosen)
    if without is None:
        step = Step("behaviour", ADAPTER, Finding.OPEN, "nothing to compare with", needs=("an arm without an adapter",))
        return Behaviour(step, None)
    if evidence.wishes.audit:
        told = "each answer must be traceable, which the weights of an adapter are not"
        return Behaviour(Step("behaviour", ADAPTER, Finding.NO, told, "no demand for an audit"), without)
    fitting = [arm for arm in own if arm.adapter and (arm.knowledge is Knowledge.NONE) is (chosen is Knowledge.NONE)]
    if fitting:
        return _measured(evidence, comparisons, without, fitting)
    return _unmeasured(evidence, comparisons, without)


def _measured(
    evidence: Evidence, comparisons: Comparisons, without: ArmEvidence, fitting: list[ArmEvidence]
) -> Behaviour:
    margin = evidence.wishes.margin
    harmless = [arm for arm in fitting if arm.harmless is not False]
    adapter = best(harmless)
    if adapter is None:
        told = f"{', '.join(arm.name for arm in fitting)}: shown to lose too much on the general questions"
        return Behaviour(Step("behaviour", ADAPTER, Finding.NO, told, "an adapter that keeps them"), without)
    difference = comparisons.difference(adapter, without)
    told = f"{adapter.name} has {difference} against {without.name}"
    if difference.gains(margin):
        step = Step(
            "behaviour", ADAPTER, Finding.YES, told, f"a prompt that comes within {100 * margin:g} points of it"
        )
        return Behaviour(step, without, adapter)
    turn = f"an adapter that is shown to be {100 * margin:g} points better than the prompt"
    good = comparisons.share(without)
    if difference.gains_nothing(margin) or good.low >= evidence.wishes.target:
        why = "" if difference.gains_nothing(margin) else f"; {without.name} has {good} right, which is enough"
        return Behaviour(Step("behaviour", ADAPTER, Finding.NO, told + why, turn), without)
    needs = (questions(comparisons.more_for_difference(difference, margin)),)
    return Behaviour(Step("behaviour", ADAPTER, Finding.OPEN, told, turn, needs), without)


def _unmeasured(evidence: Evidence, comparisons: Comparisons, without: ArmEvidence) -> Behaviour:
    share, target = comparisons.share(without), evidence.wishes.target
    value = comparisons.share(without, value_right)
    told = f"{without.name} has {share} right, {100 * value.value:.1f}% with the form set aside"
    if share.low >= target:
        return Behaviour(Step("behaviour", ADAPTER, Finding.NO, told, f"less than {100 * target:g}% right"), without)
    if share.high >= target:
        needs = (questions(comparisons.more_for_share(share, target)),)
        step = Step("behaviour", ADAPTER, Finding.OPEN, told, f"less than {100 * target:g}% right", needs)
        return Behaviour(step, without, hardly_left=share.value >= target)
    told += f"; {evidence.examples:,} labelled examples, {FEWEST} are the least and {RELIABLE:,} reliable"
    turn = "a prompt that closes the gap; an adapter, once trained, that does not beat the prompt"
    if evidence.examples >= FEWEST:
        return Behaviour(Step("behaviour", ADAPTER, Finding.YES, told, turn), without, train=True)
    needs = (f"{FEWEST - evidence.examples:,} more labelled examples to train on",)
    return Behaviour(Step("behaviour", ADAPTER, Finding.OPEN, told, turn, needs), without)
