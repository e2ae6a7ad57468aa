"""Whether the gap is knowledge, and whether documents are retrieved or stand in the cached prefix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trivet.advice.capability import questions
from trivet.advice.comparison import Comparisons, best, value_right
from trivet.advice.evidence import ArmEvidence, Corpus, Evidence, Knowledge
from trivet.advice.result import Finding, Step

NEEDED = "Is the gap knowledge: facts that stand in documents?"
STANDS_STILL = "Is the corpus small and does it stand still, so that it can be in the cached prefix?"
SMALL_CORPUS = 10_000  # tokens
STILL = 1.0  # changes a month at most


@dataclass(frozen=True, slots=True)
class KnowledgeChoice:
    """`chosen` is None where the steps leave it open."""

    steps: tuple[Step, ...]
    chosen: Knowledge | None


def knowledge(evidence: Evidence, comparisons: Comparisons) -> KnowledgeChoice:
    """Judged by arms without adapters: facts that change are never trained into weights."""
    if evidence.corpus is None:
        told = "no documents: no index is configured, and no question names one"
        step = Step("knowledge", NEEDED, Finding.NO, told, "documents that answers stand in")
        return KnowledgeChoice((step,), Knowledge.NONE)
    open_arms = [arm for arm in evidence.asked if arm.own_model and not arm.adapter]
    plain = best((arm for arm in open_arms if arm.knowledge is Knowledge.NONE), value_right)
    informed = best((arm for arm in open_arms if arm.knowledge is not Knowledge.NONE), value_right)
    if plain is None or informed is None:
        lacking = "without documents" if plain is None else f"that is given documents of {evidence.corpus.name}"
        told = "the two cannot be compared"
        step = Step("knowledge", NEEDED, Finding.OPEN, told, needs=(f"an arm {lacking} and without an adapter",))
        return KnowledgeChoice((step,), None)
    margin = evidence.wishes.margin
    difference = comparisons.difference(informed, plain, value_right)
    told = f"with documents ({informed.name}) {difference} against {plain.name}, with the form set aside"
    if difference.gains(margin):
        step = Step("knowledge", NEEDED, Finding.YES, told, "questions whose answers do not stand in documents")
        standing, chosen = _standing(evidence, evidence.corpus, comparisons, open_arms)
        return KnowledgeChoice((step, standing), chosen)
    if difference.gains_nothing(margin):
        step = Step("knowledge", NEEDED, Finding.NO, told, "questions whose answers stand in documents")
        return KnowledgeChoice((step,), Knowledge.NONE)
    needs = (questions(comparisons.more_for_difference(difference, margin)),)
    return KnowledgeChoice((Step("knowledge", NEEDED, Finding.OPEN, told, needs=needs),), None)


def _standing(
    evidence: Evidence, corpus: Corpus, comparisons: Comparisons, arms: list[ArmEvidence]
) -> tuple[Step, Knowledge | None]:
    told = f"{_tokens(corpus)}, {_changes(corpus)}"
    turn = f"a corpus of at most {SMALL_CORPUS:,} tokens that changes at most once a month"

    def no(why: str) -> tuple[Step, Knowledge]:
        return Step("stuffing", STANDS_STILL, Finding.NO, why, turn), Knowledge.RETRIEVED

    if corpus.tokens is None or corpus.tokens > SMALL_CORPUS:
        return no(told)
    if corpus.changes_per_month is None or corpus.changes_per_month > STILL:
        return no(told)
    refused = next((arm for arm in evidence.arms if arm.knowledge is Knowledge.STUFFED and arm.refused), None)
    stuffed = best((arm for arm in arms if arm.knowledge is Knowledge.STUFFED), value_right)
    if stuffed is None and refused is not None:
        return no(f"{told}; {refused.name}: {refused.refused}")
    if stuffed is None:
        needs = ("an arm with the corpus in its prefix",)
        return Step("stuffing", STANDS_STILL, Finding.OPEN, told, needs=needs), None
    retrieved = best((arm for arm in arms if arm.knowledge is Knowledge.RETRIEVED), value_right)
    if retrieved is None:
        step = Step("stuffing", STANDS_STILL, Finding.YES, f"{told}; {stuffed.name} is measured", _outgrown())
        return step, Knowledge.STUFFED
    return _against_retrieval(evidence, comparisons, stuffed, retrieved, told, no)


def _against_retrieval(
    evidence: Evidence,
    comparisons: Comparisons,
    stuffed: ArmEvidence,
    retrieved: ArmEvidence,
    told: str,
    no: Callable[[str], tuple[Step, Knowledge]],
) -> tuple[Step, Knowledge | None]:
    margin = evidence.wishes.margin
    difference = comparisons.difference(stuffed, retrieved, value_right)
    told = f"{told}; {stuffed.name} has {difference} against {retrieved.name}"
    if difference.keeps(margin):
        return Step("stuffing", STANDS_STILL, Finding.YES, told, _outgrown()), Knowledge.STUFFED
    if difference.loses():
        return no(told)
    needs = (questions(comparisons.more_for_difference(difference, margin, keeping=True)),)
    return Step("stuffing", STANDS_STILL, Finding.OPEN, told, needs=needs), None


def _tokens(corpus: Corpus) -> str:
    return (
        f"{corpus.name} has " + ("an unknown number of" if corpus.tokens is None else f"{corpus.tokens:,}") + " tokens"
    )


def _changes(corpus: Corpus) -> str:
    if corpus.changes_per_month is None:
        return "how often it changes is not known"
    return f"{corpus.changes_per_month:g} changes a month"


def _outgrown() -> str:
    return f"a corpus of more than {SMALL_CORPUS:,} tokens, or one that changes more than once a month"
