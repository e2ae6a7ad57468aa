"""What an evaluation shows of its arms, as evidence."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from trivet.advice.evidence import Amount, ArmEvidence, Knowledge
from trivet.evaluation.arms import Arm
from trivet.evaluation.data import Example
from trivet.evaluation.gate import holds
from trivet.evaluation.metrics import Judgement, combined, score
from trivet.evaluation.outcomes import Outcome
from trivet.evaluation.reply import ReplyReader
from trivet.evaluation.report import Estimate, Report
from trivet.evaluation.suite import Suite, general_arm

FORM: frozenset[Judgement] = frozenset({"format_valid"})


def arms_of(suite: Suite, report: Report, outcomes: Collection[Outcome], own_backend: str | None) -> list[ArmEvidence]:
    """Of the suite's own questions. `own_backend`: that of the arms whose model is the route's."""
    answers = {(outcome.arm, outcome.example): outcome for outcome in outcomes if outcome.suite == report.digest}
    reader, main = ReplyReader(suite.form), report.parts[0]
    found = []
    for arm in suite.main.arms:
        measured = main.arm(arm.name)
        if measured.refused:
            found.append(ArmEvidence(arm.name, knowledge=knowledge_of(arm), refused=measured.refused))
            continue
        judged = [_judged(suite, example, answers[arm.name, example.id], reader) for example in suite.main.examples]
        found.append(
            ArmEvidence(
                name=arm.name,
                right=tuple(whole for whole, _ in judged),
                value_right=tuple(value for _, value in judged),
                knowledge=knowledge_of(arm),
                adapter=arm.adapter is not None,
                own_model=arm.backend in (None, own_backend),
                cost=_amount(measured.estimates["cost"]),
                input_tokens=measured.estimates["input_tokens"].value,
                ttft_ms=measured.estimates["ttft_p95_ms"].value,
                harmless=_harmless(report, arm),
            )
        )
    return found


def knowledge_of(arm: Arm) -> Knowledge:
    """How it gets at facts."""
    if arm.stuffed is not None:
        return Knowledge.STUFFED
    return Knowledge.NONE if arm.index is None else Knowledge.RETRIEVED


def chance_of(report: Report) -> float:
    """What guessing has right: always the commonest label, where there are labels."""
    chance: Mapping[str, float] = report.parts[0].chance
    return max(chance.values(), default=0.0)


def _judged(suite: Suite, example: Example, outcome: Outcome, reader: ReplyReader) -> tuple[bool, bool]:
    """Whether it is right in all, and with the form set aside."""
    scores, judgements = score(example, outcome, reader), suite.main.correct
    whole = combined(scores, judgements) == 1.0
    value = combined(scores, [name for name in judgements if name not in FORM])
    return whole, whole if value is None else value == 1.0


def _amount(estimate: Estimate) -> Amount | None:
    if estimate.value is None:
        return None
    if estimate.interval is None:
        return Amount(estimate.value, estimate.value, estimate.value)
    return Amount(estimate.value, estimate.interval.low, estimate.interval.high)


def _harmless(report: Report, arm: Arm) -> bool | None:
    """On the general part, if that was asked of the arm's weights."""
    if arm.weights is None or len(report.parts) < 2:
        return None
    named = {one.name: one for one in report.parts[1].arms}
    measured = named.get(general_arm(arm.weights))
    if measured is None or measured.comparison is None or measured.comparison.difference.interval is None:
        return None
    interval = measured.comparison.difference.interval
    if bool(holds(interval.low, report.general_margin)):
        return True
    return False if interval.high < -report.general_margin / 100 else None
