"""Advice in situations in which the right one is known, and with too little evidence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.advice.__main__ import outcomes
from benchmarks.advice.situations import SITUATIONS, Situation
from trivet.advice.evidence import Amount, ArmEvidence, Corpus, Evidence, Knowledge, Traffic, Wishes
from trivet.advice.procedure import advise
from trivet.advice.result import Action, Finding

BY_NAME = {situation.name: situation for situation in SITUATIONS}
DRAWS = 40


def names(situation: Situation) -> str:
    return situation.name


@pytest.mark.parametrize("situation", SITUATIONS, ids=names)
def test_what_an_expert_would_say(situation: Situation) -> None:
    found = outcomes(replace(situation, n=4 * situation.n), 5, 1)
    assert found["right"] == 5, found


@pytest.mark.parametrize("part", [1, 2, 8])
def test_of_too_few_questions_it_says_that_they_are_too_few_rather_than_something_wrong(part: int) -> None:
    found = [outcomes(situation, DRAWS, part) for situation in SITUATIONS]
    wrong = sum(one["wrong"] for one in found) / (DRAWS * len(SITUATIONS))
    assert wrong <= 0.05
    assert part < 8 or sum(one["open"] for one in found) > 0.2 * DRAWS * len(SITUATIONS)


def test_the_halves_of_an_evaluation_never_contradict_each_other() -> None:
    for seed in range(20):
        said = set()
        for half in range(2):
            evidence = BY_NAME["knowledge gap"].draw(seed)
            cut = slice(half * 300, (half + 1) * 300)
            arms = (replace(arm, right=arm.right[cut], value_right=arm.value_right[cut]) for arm in evidence.arms)
            said.add(advise(replace(evidence, arms=tuple(arms))).action)
        assert len(said - {Action.COLLECT}) <= 1


def test_it_says_what_has_to_be_collected() -> None:
    advice = advise(BY_NAME["too few examples"].draw(1))
    assert advice.needs == ("140 more labelled examples to train on",)
    few = advise(BY_NAME["huge volume, adapter without a prompt measured"].draw(1, 100))
    assert few.action is Action.COLLECT
    assert "more questions" in few.needs[0]


def test_an_arm_that_was_not_asked_is_asked_for() -> None:
    evidence = BY_NAME["knowledge gap"].draw(1)
    alone = replace(evidence, arms=evidence.arms[:1])
    advice = advise(alone)
    assert advice.action is Action.COLLECT
    assert advice.needs[0] == "an arm that is given documents of handbook"
    small = replace(BY_NAME["small corpus that stands still"].draw(1), arms=evidence.arms)
    assert advise(small).needs[-1] == "an arm with the corpus in its prefix"


def test_a_corpus_that_does_not_fit_the_prefix_is_retrieved() -> None:
    evidence = BY_NAME["small corpus that stands still"].draw(1)
    kept = tuple(arm for arm in evidence.arms if arm.knowledge is not Knowledge.STUFFED)
    refused = ArmEvidence("stuffed", knowledge=Knowledge.STUFFED, refused="too long")
    advice = advise(replace(evidence, arms=(*kept, refused), wishes=Wishes(target=0.7)))
    assert advice.action is Action.RETRIEVE
    assert "too long" in next(step.evidence for step in advice.steps if step.name == "stuffing")


def test_facts_are_never_trained_into_weights() -> None:
    """An adapter that has learnt the documents by heart is not what is advised."""
    evidence = BY_NAME["knowledge gap"].draw(1)
    learnt = replace(evidence.arms[1], name="adapter", knowledge=Knowledge.NONE, adapter=True)
    advice = advise(replace(evidence, arms=(*evidence.arms, learnt), examples=5_000))
    assert advice.action is Action.RETRIEVE


def test_costs_of_a_month_and_when_a_training_is_paid() -> None:
    advice = advise(BY_NAME["huge volume, adapter without a prompt measured"].draw(1, 6_000))
    today, tenfold = advice.months
    assert today.current is not None
    assert today.advised is not None
    assert today.current.value == pytest.approx(5_000_000 * 100_000 / 1e9)
    assert tenfold.advised is not None
    assert tenfold.advised.value == pytest.approx(10 * today.advised.value)
    assert today.advised.low < today.advised.value < today.advised.high
    assert advice.pays_after == 250_000  # 5 USD, 20,000 nano-USD a request


def test_a_training_that_no_volume_pays_for_is_not_advised() -> None:
    evidence = BY_NAME["huge volume"].draw(1)
    dear = advise(replace(evidence, training_usd=5_000.0))
    assert dear.action is Action.KEEP
    assert "is paid after 312,500,000 requests only" in dear.steps[-1].evidence
    unpriced = replace(evidence.traffic, prefix_cost=None)
    assert advise(replace(evidence, traffic=unpriced, training_usd=5_000.0)).action is Action.DISTIL


def test_an_adapter_that_is_as_slow_does_not_help_a_tight_budget() -> None:
    evidence = BY_NAME["tight latency"].draw(1)
    slow = tuple(replace(arm, ttft_ms=800.0) for arm in evidence.arms)
    advice = advise(replace(evidence, arms=slow))
    assert advice.action is Action.KEEP
    assert "as well" in advice.steps[-1].evidence


def test_a_leg_that_brings_nothing_is_left_out() -> None:
    same = BY_NAME["an adapter that brings nothing"].draw(1, 5_000)
    advice = advise(replace(same, current="adapter", wishes=Wishes(target=0.99)))
    assert (advice.action, advice.arm) == (Action.SIMPLIFY, "prompt")


def test_every_step_has_its_evidence_and_what_would_turn_it() -> None:
    for situation in SITUATIONS:
        for step in advise(situation.draw(3)).steps:
            assert step.evidence
            assert step.needs or step.changes or step.finding is Finding.YES or step.name == "capability", step


def test_evidence_that_cannot_be_compared_is_refused() -> None:
    one, two = ArmEvidence("a", (True,), (True,)), ArmEvidence("b", (True, False), (True, False))
    with pytest.raises(ValueError, match="different numbers"):
        Evidence((one, two), "a")
    with pytest.raises(ValueError, match="no answers"):
        Evidence((one,), "b")


def test_one_question_is_enough_for_nothing() -> None:
    arm = ArmEvidence("prompt", (True,), (True,), cost=Amount(1, 1, 1))
    rag = replace(arm, name="rag", knowledge=Knowledge.RETRIEVED)
    evidence = Evidence((arm, rag), "prompt", corpus=Corpus("c"), traffic=Traffic(requests_per_month=1))
    assert advise(evidence).action is Action.COLLECT
