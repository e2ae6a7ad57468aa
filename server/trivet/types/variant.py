"""Routes and the immutable bundles that can answer them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from trivet.types.rollout import RouteRollout


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
    """How tokens are drawn. `temperature` 0 is greedy."""

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


class OnRetrievalFailure(Enum):
    """What a route does when its passages cannot be had in time."""

    DEGRADE = "degrade"
    FAIL = "fail"


class CacheScope(Enum):
    """Who shares the KV cache of what comes after a route's static prefix."""

    SHARED = "shared"
    TENANT = "tenant"


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
class RetrievalSettings:
    """How a variant searches its index.

    `tags`: only documents that hold all of these. `max_per_document`: passages of one document at most, 0 for any
    number. `rerank`: by the index's cross-encoder. `collapse`: only the best of passages that say the same.
    """

    index: str
    top_k: int = 3
    min_score: float = 0.0
    token_budget: int = 1024
    tags: tuple[str, ...] = ()
    max_per_document: int = 0
    rerank: bool = False
    collapse: bool = True
    confidence: ConfidenceFloor | None = None
    few_shot: FewShotSettings | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """An immutable bundle that can answer a route. An index is named in it, not frozen.

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


@dataclass(frozen=True, slots=True)
class Route:
    """The name a client calls and the variants behind it, by weight (any positive scale).

    With a `rollout`, its stable and its candidate answer, by units, and the weights only tell what share each has.
    `allow`: what requests may ask for beside the usual, by the names of their fields.
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
