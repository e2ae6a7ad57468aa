"""Routes and their variants."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from trivet.config.fields.kinds import Count, Name, NotNegative, Positive, Ref, Section, Text
from trivet.config.schema.interactions import RouteInteractions
from trivet.config.schema.reasoning import ReasoningSection
from trivet.config.schema.rollouts import RolloutSection
from trivet.types.text.adapter_pattern import AdapterPattern
from trivet.types.text.template_variables import variable_problem
from trivet.types.variant import (
    MOST_GATHERED_MS,
    MOST_GATHERED_TOKENS,
    AdapterBy,
    AdapterChoice,
    AdapterFallback,
    RewriteSettings,
    StreamPace,
    VersionRef,
)


def _named(values: dict[str, Any]) -> dict[str, Any]:
    for name in values:
        if problem := variable_problem(name):
            raise ValueError(problem)
    return values


TemplateVariables = Annotated[dict[str, Any], Field(max_length=64), AfterValidator(_named)]
Allowed = Literal[
    "tools",
    "system",
    "template_variables",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "logprobs",
    "n",
]


class VariantSampling(Section):
    """How tokens are drawn unless the request says otherwise."""

    max_tokens: Count = 256
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)] | None = None  # 64 bits, as in a request
    stop: list[str] = []
    top_k: Count | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    repetition_penalty: Annotated[float, Field(ge=0.01, le=2)] = 1.0
    max_reasoning_tokens: Annotated[int, Field(ge=0, le=1_000_000)] | None = None


class Confidence(Section):
    """Below this retrieval confidence the route answers with this text instead of asking the model."""

    below: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
    answer: Text


class FewShot(Section):
    """The examples of an index that are nearest to the question, put before the conversation."""

    index: Name
    k: Annotated[int, Field(ge=1, le=8)] = 3
    token_budget: Count = 512


class Rewrite(Section):
    """Follow-up questions are written anew by the variant's model before they are searched with."""

    prompt: Ref
    model: Literal["base", "adapter"] = "base"
    max_tokens: Annotated[int, Field(ge=1, le=256)] = 64
    max_turns: Annotated[int, Field(ge=1, le=32)] = 6
    max_characters: Annotated[int, Field(ge=100, le=16_384)] = 4000
    deadline_ms: Positive | None = None
    fuse: bool = False

    def settings(self) -> RewriteSettings:
        """The same, read."""
        return RewriteSettings(
            prompt=VersionRef.parse(self.prompt),
            by_adapter=self.model == "adapter",
            max_tokens=self.max_tokens,
            max_turns=self.max_turns,
            max_characters=self.max_characters,
            deadline=None if self.deadline_ms is None else self.deadline_ms / 1000,
            fuse=self.fuse,
        )


class VariantRetrieval(Section):
    """How the variant searches."""

    index: Name
    top_k: Annotated[int, Field(ge=1, le=100)] = 3
    min_score: NotNegative = 0.0
    token_budget: Count = 1024
    tags: Annotated[list[Text], Field(max_length=8)] = []
    where: dict[str, Any] | None = None
    max_per_document: Count | None = None
    duplicates: Literal["collapse", "keep"] = "collapse"
    expand: Literal["none", "neighbours", "section", "document"] = "none"
    rerank: bool = False
    confidence: Confidence | None = None
    few_shot: FewShot | None = None
    rewrite: Rewrite | None = None


def _adapter_pattern(text: str) -> str:
    AdapterPattern.parse(text)
    return text


class AdapterChoiceSection(Section):
    """Each request has its own adapter: which ones it may be, and what if it has none."""

    by: Literal["request", "tenant", "label"]
    source: Annotated[
        list[Annotated[str, AfterValidator(_adapter_pattern)]], Field(alias="from", min_length=1, max_length=16)
    ]
    fallback: Literal["base", "refuse"]
    label: Annotated[Text, Field(max_length=64)] | None = None

    def choice(self) -> AdapterChoice:
        """The same, read."""
        patterns = tuple(map(AdapterPattern.parse, self.source))
        return AdapterChoice(AdapterBy(self.by), patterns, AdapterFallback(self.fallback), self.label or "")


def _adapter_kind(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return "one"
    return "choice" if isinstance(value, dict | AdapterChoiceSection) else None


VariantAdapter = Annotated[
    Annotated[Ref | None, Tag("one")] | Annotated[AdapterChoiceSection, Tag("choice")],
    Discriminator(
        _adapter_kind,
        custom_error_type="variant_adapter",
        custom_error_message="Expected name@version, or a mapping with by, from and fallback",
    ),
]


class VariantSection(Section):
    """One bundle that can answer the route."""

    weight: NotNegative | None = None
    backend: Name
    prompt: Ref
    adapter: VariantAdapter = None
    retrieval: VariantRetrieval | None = None
    sampling: VariantSampling = VariantSampling()
    json_schema: dict[str, Any] | None = None
    template_variables: TemplateVariables = {}
    reasoning: ReasoningSection | None = None

    @model_validator(mode="after")
    def _reasons(self) -> VariantSection:
        if self.reasoning is None:
            return self
        if self.reasoning.thought is not None and self.json_schema is not None:
            raise ValueError("has reasoning.thought beside json_schema, which leaves no room for a thought")
        if self.reasoning.self_consistency is not None and self.sampling.temperature == 0:
            raise ValueError("has reasoning.self_consistency and draws the same answer each time: raise temperature")
        return self

    @property
    def one_adapter(self) -> str | None:
        """The adapter of all its requests, if there is one."""
        return self.adapter if isinstance(self.adapter, str) else None

    @property
    def adapter_choice(self) -> AdapterChoiceSection | None:
        """How each request has its own adapter, if it has."""
        return self.adapter if isinstance(self.adapter, AdapterChoiceSection) else None


class RouteRetrieval(Section):
    """How long a route waits for passages, and what then."""

    deadline_ms: Positive = 150.0
    on_failure: Literal["degrade", "fail"] = "degrade"


class RouteDriftSection(Section):
    """Whether a route is asked other questions than before: so many are the reference for those after them."""

    reference: Annotated[int, Field(ge=100, le=5000)] = 1000
    alarm_days: Annotated[float, Field(gt=0, le=365)] = 7.0
    unanswered: Annotated[list[Annotated[Text, Field(max_length=1000)]], Field(max_length=16)] = []


class StreamSection(Section):
    """How far the tokens of streamed answers are gathered while many streams are open."""

    max_tokens: Annotated[int, Field(ge=1, le=MOST_GATHERED_TOKENS)] = StreamPace().max_tokens
    max_ms: Annotated[float, Field(ge=0, le=MOST_GATHERED_MS)] = StreamPace().max_ms


class RouteStreamSection(Section):
    """The same for one route; what it does not say is as the file says it for all."""

    max_tokens: Annotated[int, Field(ge=1, le=MOST_GATHERED_TOKENS)] | None = None
    max_ms: Annotated[float, Field(ge=0, le=MOST_GATHERED_MS)] | None = None

    def pace(self, own: StreamSection) -> StreamPace:
        """As the route has it; `own`: the file's."""
        tokens = own.max_tokens if self.max_tokens is None else self.max_tokens
        return StreamPace(tokens, own.max_ms if self.max_ms is None else self.max_ms)


class RouteSection(Section):
    """A name that clients call."""

    variants: Annotated[dict[Name, VariantSection], Field(min_length=1)]
    rollout: RolloutSection | None = None
    salt: str | None = None
    cache: Literal["shared", "tenant"] | None = None
    retrieval: RouteRetrieval = RouteRetrieval()
    max_duration: Positive = 120.0
    allow: list[Allowed] = []
    interactions: RouteInteractions | None = None
    drift: RouteDriftSection | None = None
    stream: RouteStreamSection = RouteStreamSection()
