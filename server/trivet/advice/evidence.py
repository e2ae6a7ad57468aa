"""What advice is given on: arms on the same questions, the corpus, the traffic, and what is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Knowledge(Enum):
    """How an arm gets at facts that the model does not have."""

    NONE = "none"
    RETRIEVED = "retrieved"
    STUFFED = "stuffed"


@dataclass(frozen=True, slots=True)
class Amount:
    """A mean with the ends of its 95% interval; both are the mean where there is no interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ArmEvidence:
    """One arm on the suite's questions, which all arms were asked in the same order.

    `right`: whether each answer is right in all that is judged. `value_right`: the same with the form set aside.
    `own_model` is false for an arm of another model, such as a larger one. `cost`: nano-USD of a request, as an
    evaluation has it. `ttft_ms`: 95th percentile. `harmless`: whether an adapter is shown to keep the general
    questions; None if that is open, or was not asked. `refused`: why an arm cannot be asked; then it has no answers.
    """

    name: str
    right: tuple[bool, ...] = ()
    value_right: tuple[bool, ...] = ()
    knowledge: Knowledge = Knowledge.NONE
    adapter: bool = False
    own_model: bool = True
    cost: Amount | None = None
    input_tokens: float | None = None
    ttft_ms: float | None = None
    harmless: bool | None = None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Corpus:
    """The documents that answers stand in. `changes_per_month`: revisions and deletions by the document log; None where
    no log was read."""

    name: str
    tokens: int | None = None
    changes_per_month: float | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the route's request log says; None where it says nothing.

    `prefix_tokens`: of the prompt's static part. `prefix_cost`: nano-USD of that part in a request, as it is cached
    today. `ttft_ms`: 95th percentile.
    """

    requests_per_month: float | None = None
    prompt_changes_per_month: float | None = None
    prefix_tokens: int | None = None
    prefix_cost: float | None = None
    ttft_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wanted. `target`: the share of right answers that is good enough. `margin`: what a change has to bring,
    and what it may cost at most, as a share. `latency_ms`: budget for the time to the first token. `audit`: each answer
    must be traceable to an instruction or a document."""

    target: float = 0.9
    margin: float = 0.03
    latency_ms: float | None = None
    audit: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it. `current`: the arm that is what the route has today. `chance`: what guessing has right. `corpus`: None
    if there are no documents. `examples`: labelled ones that a training could use. `training_usd`: of one training."""

    arms: tuple[ArmEvidence, ...]
    current: str
    chance: float = 0.0
    corpus: Corpus | None = None
    traffic: Traffic = Traffic()
    examples: int = 0
    training_usd: float = 0.0
    wishes: Wishes = Wishes()

    def __post_init__(self) -> None:
        """ValueError for arms that were not asked the same, or if the current one has no answers."""
        sizes = {len(answers) for arm in self.arms if not arm.refused for answers in (arm.right, arm.value_right)}
        if len(sizes) > 1:
            raise ValueError("arms have different numbers of answers")
        if not any(arm.name == self.current and arm.right for arm in self.arms):
            raise ValueError(f"the current arm {self.current!r} has no answers")

    def arm(self, name: str) -> ArmEvidence:
        """One arm; KeyError if there is none of that name."""
        return {arm.name: arm for arm in self.arms}[name]

    @property
    def asked(self) -> tuple[ArmEvidence, ...]:
        """Those that have answers."""
        return tuple(arm for arm in self.arms if not arm.refused)
