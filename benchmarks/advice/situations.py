"""Situations in which the right advice is known, and evidence drawn from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random

from trivet.advice.evidence import Amount, ArmEvidence, Corpus, Evidence, Knowledge, Traffic, Wishes
from trivet.advice.result import Action

ALIKE = 0.7  # of the questions are as hard for one arm as for the others


@dataclass(frozen=True, slots=True)
class Truth:
    """An arm's true shares: the value is right, and the form is right."""

    value: float
    form: float = 1.0
    knowledge: Knowledge = Knowledge.NONE
    adapter: bool = False
    own_model: bool = True
    cost: float = 100_000.0
    input_tokens: float = 900.0
    ttft_ms: float = 120.0
    harmless: bool | None = None

    @property
    def kind(self) -> dict[str, object]:
        """What an arm has beside its answers."""
        names = ("knowledge", "adapter", "own_model", "input_tokens", "ttft_ms", "harmless")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Situation:
    """`right`: what an expert would say. `n`: questions, so many as it takes to tell. `frame`: all but answers."""

    name: str
    right: Action
    truths: Mapping[str, Truth]
    n: int = 600
    current: str = "prompt"
    frame: Mapping[str, object] = field(default_factory=dict)

    def draw(self, seed: int, n: int | None = None) -> Evidence:
        """One evaluation of so many questions."""
        random = Random(f"{self.name} {seed}")
        hard = [random.random() for _ in range(n or self.n)]
        form_hard = [random.random() for _ in hard]
        arms = []
        for name, truth in self.truths.items():
            value = tuple(_below(random, one, truth.value) for one in hard)
            formed = [_below(random, one, truth.form) for one in form_hard]
            both = tuple(said and form for said, form in zip(value, formed, strict=True))
            cost = Amount(truth.cost, 0.98 * truth.cost, 1.02 * truth.cost)
            arm = ArmEvidence(name, both, value, cost=cost)
            arms.append(replace(arm, **truth.kind))  # type: ignore[arg-type]
        order = list(range(len(hard)))
        random.shuffle(order)
        return Evidence(arms=tuple(_ordered(arm, order) for arm in arms), current=self.current, **self.frame)  # type: ignore[arg-type]


def _below(random: Random, hard: float, share: float) -> bool:
    return (hard if random.random() < ALIKE else random.random()) < share


def _ordered(arm: ArmEvidence, order: list[int]) -> ArmEvidence:
    return replace(
        arm,
        right=tuple(arm.right[place] for place in order),
        value_right=tuple(arm.value_right[place] for place in order),
    )


_RAG, _STUFFED = Knowledge.RETRIEVED, Knowledge.STUFFED
_LARGE = Corpus("handbook", 400_000, 25.0)
_SMALL = Corpus("handbook", 6_000, 0.0)
_QUIET = Traffic(1_000, 0.0, 800, 16_000.0, 120.0)
_BUSY = Traffic(5_000_000, 0.0, 800, 16_000.0, 120.0)

SITUATIONS = (
    Situation(
        "knowledge gap",
        Action.RETRIEVE,
        {"prompt": Truth(0.15), "prompt+rag": Truth(0.93, knowledge=_RAG)},
        frame={"corpus": _LARGE, "traffic": _QUIET},
    ),
    Situation(
        "form gap, adapter measured",
        Action.TRAIN,
        {"prompt": Truth(0.93, 0.5), "adapter": Truth(0.92, 0.99, adapter=True)},
        frame={"traffic": _QUIET},
    ),
    Situation(
        "form gap, 600 examples, no adapter yet",
        Action.TRAIN,
        {"prompt": Truth(0.93, 0.5)},
        frame={"examples": 600, "traffic": _QUIET},
    ),
    Situation(
        "form gap and knowledge gap",
        Action.COMBINE,
        {
            "prompt": Truth(0.15, 0.5),
            "prompt+rag": Truth(0.92, 0.5, knowledge=_RAG),
            "hybrid": Truth(0.92, 0.98, knowledge=_RAG, adapter=True),
        },
        frame={"corpus": _LARGE, "traffic": _QUIET},
    ),
    Situation(
        "capability gap",
        Action.OTHER_MODEL,
        {"prompt": Truth(0.08), "prompt+rag": Truth(0.12, knowledge=_RAG), "adapter": Truth(0.1, adapter=True)},
        frame={"corpus": _LARGE, "examples": 5_000, "traffic": _BUSY},
    ),
    Situation(
        "capability gap, another model can",
        Action.DISTIL,
        {"prompt": Truth(0.08), "prompt+rag": Truth(0.12, knowledge=_RAG), "large": Truth(0.94, own_model=False)},
        frame={"corpus": _LARGE, "traffic": _QUIET},
    ),
    Situation(
        "small corpus that stands still",
        Action.STUFF,
        {
            "prompt": Truth(0.15),
            "prompt+rag": Truth(0.84, knowledge=_RAG),
            "stuffed": Truth(0.93, knowledge=_STUFFED),
        },
        frame={"corpus": _SMALL, "traffic": _QUIET},
    ),
    Situation(
        "small corpus that changes daily",
        Action.RETRIEVE,
        {
            "prompt": Truth(0.15),
            "prompt+rag": Truth(0.93, knowledge=_RAG),
            "stuffed": Truth(0.93, knowledge=_STUFFED),
        },
        frame={"corpus": replace(_SMALL, changes_per_month=30.0), "traffic": _QUIET},
    ),
    Situation(
        "tiny volume",
        Action.KEEP,
        {"prompt": Truth(0.96), "adapter": Truth(0.96, adapter=True, input_tokens=100)},
        frame={"traffic": _QUIET, "training_usd": 5.0},
    ),
    Situation(
        "huge volume",
        Action.DISTIL,
        {"prompt": Truth(0.96)},
        frame={"traffic": _BUSY, "training_usd": 5.0},
    ),
    Situation(
        "huge volume, adapter without a prompt measured",
        Action.DISTIL,
        {"prompt": Truth(0.96), "adapter": Truth(0.96, adapter=True, input_tokens=100, cost=80_000.0)},
        n=1_500,
        frame={"traffic": _BUSY, "training_usd": 5.0},
    ),
    Situation(
        "huge volume, a prompt that changes every week",
        Action.KEEP,
        {"prompt": Truth(0.96)},
        frame={"traffic": replace(_BUSY, prompt_changes_per_month=4.0)},
    ),
    Situation(
        "tight latency",
        Action.DISTIL,
        {"prompt": Truth(0.96, ttft_ms=900), "adapter": Truth(0.96, adapter=True, input_tokens=100, ttft_ms=110)},
        n=1_500,
        frame={"traffic": replace(_QUIET, ttft_ms=900.0), "wishes": Wishes(latency_ms=300.0)},
    ),
    Situation(
        "too few examples",
        Action.COLLECT,
        {"prompt": Truth(0.93, 0.5)},
        frame={"examples": 60, "traffic": _QUIET},
    ),
    Situation(
        "an adapter that brings nothing",
        Action.KEEP,
        {"prompt": Truth(0.96), "adapter": Truth(0.96, adapter=True)},
        frame={"traffic": _QUIET},
    ),
    Situation(
        "an adapter that forgets everything else",
        Action.KEEP,
        {"prompt": Truth(0.96), "adapter": Truth(0.96, adapter=True, harmless=False)},
        frame={"traffic": _QUIET},
    ),
    Situation(
        "form gap, audited",
        Action.KEEP,
        {"prompt": Truth(0.93, 0.5), "adapter": Truth(0.92, 0.99, adapter=True)},
        frame={"traffic": _QUIET, "wishes": Wishes(audit=True)},
    ),
    Situation(
        "the hybrid serves already",
        Action.KEEP,
        {
            "prompt": Truth(0.15, 0.5),
            "prompt+rag": Truth(0.92, 0.5, knowledge=_RAG),
            "hybrid": Truth(0.92, 0.98, knowledge=_RAG, adapter=True),
        },
        current="hybrid",
        frame={"corpus": _LARGE, "traffic": _QUIET, "wishes": Wishes(target=0.97)},
    ),
)  # fmt: skip
