"""Arms: what answers the questions of a suite, as `suite.yaml` names it and as it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

ArmName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._+-]{0,40}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Ref = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}@[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Count = Annotated[int, Field(ge=1)]


class SuiteSection(BaseModel):
    """Read strictly."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RewriteSection(SuiteSection):
    """Follow-up questions are written anew with this prompt before an arm searches."""

    prompt: Ref
    max_tokens: Annotated[int, Field(ge=1, le=256)] = 64
    fuse: bool = False


class RetrievalSection(SuiteSection):
    """How an arm searches."""

    index: Name
    top_k: Annotated[int, Field(ge=1, le=100)] = 3
    token_budget: Count = 1024
    rewrite: RewriteSection | None = None


class ThoughtSection(SuiteSection):
    """What the prompt tells the model to write around its thoughts."""

    begin: Annotated[str, Field(min_length=1, max_length=64)] = "<thinking>"
    end: Annotated[str, Field(min_length=1, max_length=64)] = "</thinking>"


class ReasoningSection(SuiteSection):
    """How an arm gets to its answer: `samples` answers, compared by their label, value or text; thoughts apart."""

    samples: Annotated[int, Field(ge=1, le=16)] = 1
    temperature: Annotated[float, Field(gt=0, le=2)] = 0.7
    thought: ThoughtSection | None = None


class ArmSection(SuiteSection):
    """What answers. `stuffed` names an index whose whole corpus stands in the prompt's system text instead.

    `backend`: another one than that which takes adapters, for instance of a merged model.
    """

    prompt: Ref
    backend: Name | None = None
    adapter: Ref | None = None
    retrieval: RetrievalSection | None = None
    stuffed: Name | None = None
    json_schema: Literal["without", "with", "both"] = "without"
    reasoning: ReasoningSection | None = None


@dataclass(frozen=True, slots=True)
class Arm:
    """One bundle that answers. `constrained`: each request carries the suite's JSON schema. `samples` answers are drawn
    at this `temperature`; `thought`: the marks around what is no part of an answer. `rewrite`: the prompt, the most
    tokens, and whether the question is searched with as it was asked, too."""

    name: str
    prompt: str
    max_tokens: int
    adapter: str | None = None
    index: str | None = None
    top_k: int = 0
    token_budget: int = 0
    stuffed: str | None = None
    constrained: bool = False
    backend: str | None = None
    samples: int = 1
    temperature: float = 0.0
    thought: tuple[str, str] | None = None
    rewrite: tuple[str, int, bool] | None = None

    @property
    def asked(self) -> dict[str, Any]:
        """What decides its answers; how it reasons or rewrites only if it does: other arms' answers stay theirs."""
        plain = {"samples": 1, "temperature": 0.0, "thought": None, "rewrite": None}
        return {name: value for name, value in asdict(self).items() if name not in plain or value != plain[name]}

    @property
    def weights(self) -> str | None:
        """What its weights are beside the bare model's: an adapter (name@version), another backend, both; else None."""
        return weights_of(self.adapter, self.backend)

    @property
    def route(self) -> str:
        """The route of the server that is this arm."""
        return "eval-" + self.name.replace("+", "-").replace("/", "-").replace("@", "-")

    @property
    def own_prompt(self) -> str:
        """The prompt that is written for this arm alone, where `prompt` does not do as it stands."""
        return f"{self.route}@1"


def arms_of(sections: Mapping[str, ArmSection], max_tokens: int) -> Iterator[Arm]:
    """As they are asked: one with and without the schema is two."""
    for name, section in sections.items():
        for constrained in {"without": (False,), "with": (True,), "both": (False, True)}[section.json_schema]:
            found = section.retrieval
            yield Arm(
                name=f"{name}+schema" if constrained else name,
                prompt=section.prompt,
                max_tokens=max_tokens,
                adapter=section.adapter,
                index=found.index if found else None,
                top_k=found.top_k if found else 0,
                token_budget=found.token_budget if found else 0,
                stuffed=section.stuffed,
                constrained=constrained,
                backend=section.backend,
                rewrite=_rewrite(found),
                **_reasoning(section.reasoning),
            )


def _rewrite(section: RetrievalSection | None) -> tuple[str, int, bool] | None:
    found = None if section is None else section.rewrite
    return None if found is None else (found.prompt, found.max_tokens, found.fuse)


def _reasoning(section: ReasoningSection | None) -> dict[str, Any]:
    if section is None:
        return {}
    marks = None if section.thought is None else (section.thought.begin, section.thought.end)
    several = section.samples > 1
    return {"samples": section.samples, "temperature": section.temperature if several else 0.0, "thought": marks}


def weights_of(adapter: str | None, backend: str | None) -> str | None:
    """The name of weights beside the bare model's."""
    return "+".join(name for name in (adapter, backend) if name is not None) or None
