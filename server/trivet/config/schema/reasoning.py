"""How a variant's model gets to its answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trivet.config.fields.kinds import Section, Text
from trivet.types.variant import AgreeOn, Reasoning, SelfConsistency, ThoughtMarks


class SelfConsistencySection(Section):
    """So many answers are drawn, and the one is given whose value most of them have."""

    samples: Annotated[int, Field(ge=2, le=16)]
    agree_on: Literal["text", "number", "json", "label"] = "text"
    field: Annotated[str, Field(max_length=128)] = ""
    labels: Annotated[list[Annotated[Text, Field(max_length=256)]], Field(max_length=256)] = []

    @model_validator(mode="after")
    def _fits(self) -> SelfConsistencySection:
        if self.field and self.agree_on != "json":
            raise ValueError("has a field, which only agree_on: json looks at")
        if bool(self.labels) != (self.agree_on == "label"):
            raise ValueError("needs labels with agree_on: label, and has them for nothing else")
        return self


class ThoughtSection(Section):
    """What the prompt tells the model to write around its thoughts."""

    begin: Annotated[Text, Field(max_length=64)] = "<thinking>"
    end: Annotated[Text, Field(max_length=64)] = "</thinking>"

    @model_validator(mode="after")
    def _differ(self) -> ThoughtSection:
        if self.begin == self.end or not self.begin.strip() or not self.end.strip():
            raise ValueError("needs two different marks")
        return self


class ReasoningSection(Section):
    """How the model gets to its answer."""

    self_consistency: SelfConsistencySection | None = None
    thought: ThoughtSection | None = None

    @model_validator(mode="after")
    def _says_something(self) -> ReasoningSection:
        if self.self_consistency is None and self.thought is None:
            raise ValueError("is empty, expected self_consistency, thought or both")
        return self

    def settings(self) -> Reasoning:
        """The same, read."""
        found, marks = self.self_consistency, self.thought
        several = None
        if found is not None:
            several = SelfConsistency(found.samples, AgreeOn(found.agree_on), found.field, tuple(found.labels))
        return Reasoning(several, None if marks is None else ThoughtMarks(marks.begin, marks.end))
