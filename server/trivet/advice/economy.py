"""Whether stable instructions should move from the prompt into an adapter, because of volume or latency."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from trivet.advice.capability import questions
from trivet.advice.comparison import Comparisons, best
from trivet.advice.evidence import ArmEvidence, Evidence, Knowledge
from trivet.advice.result import Finding, Step

PROMPT = "Is the volume so high, or the latency so tight, that the prompt should become an adapter?"
HIGH_VOLUME = 2_000_000  # tokens of instructions a month
STABLE = 2.0  # changes of the prompt a month at most: each is another training
PAID_WITHIN = 12  # months
SHORTER = 0.7  # of the input tokens, at most


@dataclass(frozen=True, slots=True)
class Economy:
    """`adapter`: the measured arm that needs no long prompt; None where it has yet to be trained."""

    step: Step
    distil: bool = False
    adapter: ArmEvidence | None = None


def economy(evidence: Evidence, comparisons: Comparisons, without: ArmEvidence, chosen: Knowledge) -> Economy:
    """`without`: the best arm without an adapter, which would be the teacher."""
    reasons = list(_reasons(evidence, without))
    if not reasons:
        return Economy(Step("economy", PROMPT, Finding.NO, _unhurried(evidence, without), _turns(evidence)))
    told = "; ".join(reasons)
    if problem := _against(evidence):
        return Economy(Step("economy", PROMPT, Finding.NO, f"{told}; but {problem}", _turns(evidence)))
    short = best(_shorter(evidence, without, chosen))
    if short is None:
        step = Step(
            "economy", PROMPT, Finding.YES, f"{told}; no arm with a shorter prompt is measured", _turns(evidence)
        )
        return Economy(step, distil=True)
    budget = evidence.wishes.latency_ms
    if budget is not None and short.ttft_ms is not None and short.ttft_ms > budget and not _high(evidence):
        told = f"{told}; but {short.name} takes {short.ttft_ms:.0f} ms as well"
        return Economy(Step("economy", PROMPT, Finding.NO, told, _turns(evidence)))
    return _measured(evidence, comparisons, without, short, told)


def _measured(
    evidence: Evidence, comparisons: Comparisons, without: ArmEvidence, short: ArmEvidence, told: str
) -> Economy:
    margin = evidence.wishes.margin
    difference = comparisons.difference(short, without)
    told = f"{told}; {short.name} has {difference} against {without.name}"
    if difference.keeps(margin):
        return Economy(Step("economy", PROMPT, Finding.YES, told, _turns(evidence)), distil=True, adapter=short)
    if difference.loses():
        step = Step("economy", PROMPT, Finding.NO, told, "an adapter that keeps what the prompt has right")
        return Economy(step)
    needs = (questions(comparisons.more_for_difference(difference, margin, keeping=True)),)
    return Economy(Step("economy", PROMPT, Finding.OPEN, told, _turns(evidence), needs))


def _shorter(evidence: Evidence, without: ArmEvidence, chosen: Knowledge) -> Iterator[ArmEvidence]:
    if without.input_tokens is None:
        return
    for arm in evidence.asked:
        fits = arm.own_model and arm.adapter and arm.harmless is not False and arm.knowledge is chosen
        if fits and arm.input_tokens is not None and arm.input_tokens <= SHORTER * without.input_tokens:
            yield arm


def _reasons(evidence: Evidence, without: ArmEvidence) -> Iterator[str]:
    traffic, budget = evidence.traffic, evidence.wishes.latency_ms
    if _high(evidence):
        yield f"{_volume(evidence):,.0f} tokens of instructions a month, {HIGH_VOLUME:,} are many"
    took = traffic.ttft_ms if traffic.ttft_ms is not None else without.ttft_ms
    if budget is not None and took is not None and took > budget:
        yield f"first tokens come after {took:.0f} ms (95th percentile), and the budget is {budget:g} ms"


def _against(evidence: Evidence) -> str:
    """What speaks against an adapter for it; empty if nothing does."""
    if evidence.wishes.audit:
        return "each answer must be traceable to instructions and documents"
    changes = evidence.traffic.prompt_changes_per_month
    if changes is not None and changes > STABLE:
        return f"the prompt changes {changes:g} times a month, and each change is a training"
    after, requests = pays_after(evidence), evidence.traffic.requests_per_month
    budget = evidence.wishes.latency_ms
    if budget is None and after is not None and requests and after > PAID_WITHIN * requests:
        return f"a training is paid after {after:,} requests only, which is more than {PAID_WITHIN} months' worth"
    return ""


def pays_after(evidence: Evidence) -> int | None:
    """How many requests pay for one training with what the prompt's static part costs in each; None if not known."""
    saved = evidence.traffic.prefix_cost
    return None if not saved else ceil(evidence.training_usd * 1e9 / saved)


def _volume(evidence: Evidence) -> float:
    traffic = evidence.traffic
    return (traffic.requests_per_month or 0.0) * (traffic.prefix_tokens or 0)


def _high(evidence: Evidence) -> bool:
    return _volume(evidence) >= HIGH_VOLUME


def _unhurried(evidence: Evidence, without: ArmEvidence) -> str:
    traffic = evidence.traffic
    if traffic.requests_per_month is None or traffic.prefix_tokens is None:
        volume = "the volume is not known"
    else:
        volume = f"{_volume(evidence):,.0f} tokens of instructions a month"
    budget = evidence.wishes.latency_ms
    took = traffic.ttft_ms if traffic.ttft_ms is not None else without.ttft_ms
    if budget is None:
        return f"{volume}, and no latency budget is given"
    measured = "its first token's time is not known" if took is None else f"first tokens come after {took:.0f} ms"
    return f"{volume}, and {measured} (budget {budget:g} ms)"


def _turns(evidence: Evidence) -> str:
    prefix = evidence.traffic.prefix_tokens
    if not prefix:
        return f"{HIGH_VOLUME:,} tokens of instructions a month, or a latency budget that the prompt breaks"
    many = ceil(HIGH_VOLUME / prefix)
    return f"more or less than {many:,} requests a month, or a latency budget that the prompt breaks"
