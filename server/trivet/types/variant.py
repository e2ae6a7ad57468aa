"""Routes and the immutable bundles that can answer them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from trivet.types.metadata.where import Where
from trivet.types.passage import Expansion
from trivet.types.rollout import RouteRollout
from trivet.types.text.adapter_pattern import AdapterPattern


@dataclass(frozen=True, slots=True, order=True)
class VersionRef:
    """`name@version` of a prompt or an adapter."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @classmethod
    def parse(cls, text: str) -> VersionRef:
        """Read `name@version`; ValueError if it is not of that form."""
        name, at, version = text.partition("@")
        if not (name and at and version) or "@" in version:
            raise ValueError(f"expected name@version, got {text!r}")
        return cls(name, version)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. `temperature` 0 is greedy. `max_reasoning_tokens`: after so many, thinking is ended.

    `top_logprobs`: how many alternatives each token's log probability comes with; None for no log probabilities.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top_k: int | None = None
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    max_reasoning_tokens: int | None = None
    top_logprobs: int | None = None


class OnRetrievalFailure(Enum):
    """What a route does when its passages cannot be had in time."""

    DEGRADE = "degrade"
    FAIL = "fail"


class CacheScope(Enum):
    """Who shares the KV cache of what comes after a route's static prefix."""

    SHARED = "shared"
    TENANT = "tenant"


MOST_GATHERED_TOKENS = 1024
MOST_GATHERED_MS = 1000.0


@dataclass(frozen=True, slots=True)
class StreamPace:
    """How far a streamed answer's tokens are gathered.

    A message has at most `max_tokens` of them, and none waits longer than `max_ms` milliseconds. While few streams are
    open, none waits.
    """

    max_tokens: int = 64
    max_ms: float = 48.0


@dataclass(frozen=True, slots=True)
class ConfidenceFloor:
    """Below this retrieval confidence a request gets `answer`, and the model is not asked."""

    below: float
    answer: str


@dataclass(frozen=True, slots=True)
class FewShotSettings:
    """The `k` examples of an index that are nearest to the question, at most `token_budget` tokens of them."""

    index: str
    k: int = 3
    token_budget: int = 512


@dataclass(frozen=True, slots=True)
class RewriteSettings:
    """How the last question of a conversation is written anew so that it stands alone, before it is searched with.

    `prompt`: of the rewriting. `by_adapter`: by the variant's adapter, else by the base model. `max_tokens`: of the new
    question. `max_turns`: before the question, at most, of `max_characters` together. `deadline`: seconds; None for
    half of retrieval's. `fuse`: the question is searched with as it was asked, too.
    """

    prompt: VersionRef
    by_adapter: bool = False
    max_tokens: int = 64
    max_turns: int = 6
    max_characters: int = 4000
    deadline: float | None = None
    fuse: bool = False


@dataclass(frozen=True, slots=True)
class RetrievalSettings:
    """How a variant searches its index.

    `tags`: only documents that hold all of these. `where`: conditions on their fields. `max_per_document`: passages of
    one document at most, 0 for any number. `rerank`: by the index's cross-encoder. `collapse`: only the best of
    passages that say the same.
    `expansion`: what of their documents comes along, as far as `token_budget` reaches.
    """

    index: str
    top_k: int = 3
    min_score: float = 0.0
    token_budget: int = 1024
    tags: tuple[str, ...] = ()
    max_per_document: int = 0
    rerank: bool = False
    collapse: bool = True
    expansion: Expansion = Expansion.NONE
    confidence: ConfidenceFloor | None = None
    few_shot: FewShotSettings | None = None
    where: Where | None = None
    rewrite: RewriteSettings | None = None


class AdapterBy(Enum):
    """What of a request says which adapter it is answered with."""

    REQUEST = "request"
    TENANT = "tenant"
    LABEL = "label"


class AdapterFallback(Enum):
    """What becomes of a request that has no adapter: it names none, or the one that it would have is missing or bad."""

    BASE = "base"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class AdapterChoice:
    """Adapters on demand: each request has its own, out of those that the patterns allow its tenant.

    `label`: the name of the label that decides, with AdapterBy.LABEL.
    """

    by: AdapterBy
    patterns: tuple[AdapterPattern, ...]
    fallback: AdapterFallback
    label: str = ""

    def allows(self, tenant: str, ref: VersionRef) -> bool:
        """Whether a request of this tenant may be answered with it."""
        return any(pattern.bind(tenant).fits(ref.name, ref.version) for pattern in self.patterns)

    def may_name(self, ref: VersionRef) -> bool:
        """Whether some tenant's request may be answered with it."""
        return any(pattern.of_anybody().fits(ref.name, ref.version) for pattern in self.patterns)

    def __str__(self) -> str:
        """In a word or two, where a variant of one adapter shows its name."""
        return f"by {self.by.value}"


class AgreeOn(Enum):
    """What several answers are compared by."""

    TEXT = "text"
    NUMBER = "number"
    JSON = "json"
    LABEL = "label"


@dataclass(frozen=True, slots=True)
class SelfConsistency:
    """So many answers are drawn, and the one is given whose value most of them have. `field`: of a JSON answer, empty
    for all of it. `labels`: those that an answer may be."""

    samples: int
    agree_on: AgreeOn = AgreeOn.TEXT
    field: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ThoughtMarks:
    """What the model is told to write around its thoughts; they and what is between them are no part of its text."""

    begin: str
    end: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How a model gets to its answer."""

    several: SelfConsistency | None = None
    thought: ThoughtMarks | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """An immutable bundle that can answer a route. An index is named in it, not frozen.

    `adapter_choice` instead of an `adapter` where each request has its own; a request's own variant has both.
    `template_variables`: of the model's chat template, before those of the prompt's file.
    """

    name: str
    backend: str
    prompt: VersionRef
    adapter: VersionRef | None = None
    retrieval: RetrievalSettings | None = None
    sampling: Sampling = Sampling()
    json_schema: Mapping[str, Any] | None = None
    template_variables: Mapping[str, Any] = field(default_factory=dict)
    adapter_choice: AdapterChoice | None = None
    reasoning: Reasoning | None = None

    @property
    def rewrite(self) -> RewriteSettings | None:
        """How follow-up questions are written anew, if they are."""
        return None if self.retrieval is None else self.retrieval.rewrite

    @property
    def prompts(self) -> tuple[VersionRef, ...]:
        """All that its backend is asked with."""
        return (self.prompt,) if self.rewrite is None else (self.prompt, self.rewrite.prompt)

    @property
    def samples(self) -> int:
        """How many answers a request of text may be worth."""
        several = None if self.reasoning is None else self.reasoning.several
        return 1 if several is None else several.samples

    @property
    def adapter_text(self) -> str:
        """Which adapter it has, for people: `name@version`, `by tenant`, or nothing."""
        found = self.adapter or self.adapter_choice
        return "" if found is None else str(found)


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """How a route's questions are watched. `reference`: the number that others are compared with. `alarm_days`: how
    long an alarm is shown. `unanswered`: texts of answers that say that nothing was found."""

    reference: int = 1000
    alarm_days: float = 7.0
    unanswered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """The name a client calls and the variants behind it, by weight (any positive scale).

    With a `rollout`, its stable and its candidate answer, by units, and the weights only tell what share each has.
    `allow`: what requests may ask for beside the usual, by the names of their fields. `kept_share`: of its answers, how
    many the interaction log keeps. `drift`: None where its questions are not watched. `stream`: where requests do not
    say it themselves.
    """

    name: str
    variants: Mapping[str, Variant]
    weights: Mapping[str, float]
    salt: str
    cache: CacheScope = CacheScope.SHARED
    retrieval_deadline: float = 0.150
    on_retrieval_failure: OnRetrievalFailure = OnRetrievalFailure.DEGRADE
    max_duration: float = 120.0
    revision: int = 0
    rollout: RouteRollout | None = None
    allow: frozenset[str] = frozenset()
    kept_share: float = 0.0
    drift: DriftSettings | None = None
    stream: StreamPace = field(default_factory=StreamPace)

    @property
    def indexes(self) -> frozenset[str]:
        """Those that its variants search for passages."""
        return frozenset(one.retrieval.index for one in self.variants.values() if one.retrieval is not None)


def without_defaults(variant: dict[str, Any]) -> dict[str, Any]:
    """A variant as a mapping, for its digest, changed in place: settings that came later are left out where they have
    their defaults, so that a variant that does not use them keeps its digest."""
    if variant["retrieval"] is not None:
        for name, default in _LATER.items():
            if variant["retrieval"][name] == default:
                del variant["retrieval"][name]
    return variant


_LATER: Mapping[str, Any] = {"where": None, "expansion": Expansion.NONE, "rewrite": None}
