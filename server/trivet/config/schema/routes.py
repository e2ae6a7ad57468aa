"""Routes and their variants."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from trivet.config.fields.kinds import Count, Name, NotNegative, Positive, Ref, Section, Text
from trivet.config.schema.rollouts import RolloutSection
from trivet.types.text.template_variables import variable_problem


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
    repetition_penalty: Annotated[float, Field(gt=0, le=2)] = 1.0


class Confidence(Section):
    """Below this retrieval confidence the route answers with this text instead of asking the model."""

    below: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
    answer: Text


class FewShot(Section):
    """The examples of an index that are nearest to the question, put before the conversation."""

    index: Name
    k: Annotated[int, Field(ge=1, le=8)] = 3
    token_budget: Count = 512


class VariantRetrieval(Section):
    """How the variant searches."""

    index: Name
    top_k: Annotated[int, Field(ge=1, le=100)] = 3
    min_score: NotNegative = 0.0
    token_budget: Count = 1024
    tags: Annotated[list[Text], Field(max_length=8)] = []
    max_per_document: Count | None = None
    duplicates: Literal["collapse", "keep"] = "collapse"
    rerank: bool = False
    confidence: Confidence | None = None
    few_shot: FewShot | None = None


class VariantSection(Section):
    """One bundle that can answer the route."""

    weight: NotNegative | None = None
    backend: Name
    prompt: Ref
    adapter: Ref | None = None
    retrieval: VariantRetrieval | None = None
    sampling: VariantSampling = VariantSampling()
    json_schema: dict[str, Any] | None = None
    template_variables: TemplateVariables = {}


class RouteRetrieval(Section):
    """How long a route waits for passages, and what then."""

    deadline_ms: Positive = 150.0
    on_failure: Literal["degrade", "fail"] = "degrade"


class RouteSection(Section):
    """A name that clients call."""

    variants: Annotated[dict[Name, VariantSection], Field(min_length=1)]
    rollout: RolloutSection | None = None
    salt: str | None = None
    cache: Literal["shared", "tenant"] | None = None
    retrieval: RouteRetrieval = RouteRetrieval()
    max_duration: Positive = 120.0
    allow: list[Allowed] = []
