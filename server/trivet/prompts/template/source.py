"""A prompt as it is written: turns of static text and template variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from trivet.types.variant import VersionRef

Role = Literal["system", "user", "assistant", "tool"]
DEFAULT_PASSAGES_HEADER = "Passages:"


class SourceMark(Enum):
    """What stands behind the number of a passage, in round brackets: nothing, its title, or its document's id."""

    NONE = "none"
    TITLE = "title"
    DOCUMENT = "document"


class InvocationPlace(Enum):
    """Where an activated LoRA is invoked: by the words that let the assistant speak, by those that open the last turn
    of a user, or by its own words at the end."""

    GENERATION = "generation"
    QUESTION = "question"
    APPENDED = "appended"


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`{{ name }}`: where a variable's value is put in."""

    name: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a prompt; without a `default` each request has to give it."""

    name: str
    default: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a prompt file: pieces of text, and placeholders between them. Never empty.

    `line`: of the file, where its text begins.
    """

    role: Role
    pieces: tuple[str | Placeholder, ...]
    line: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class PromptSource:
    """One version of a prompt. `turns`: the system text first, if any, then few-shot user and assistant in turn.

    `raw`: no chat template is put around it; requests bring a text that is continued, and the system text, if there is
    one, stands before it.
    """

    ref: VersionRef
    path: Path
    turns: tuple[Turn, ...]
    variables: Mapping[str, Variable] = field(default_factory=dict)
    passages_header: str = DEFAULT_PASSAGES_HEADER
    source_mark: SourceMark = SourceMark.NONE
    description: str = ""
    template_variables: Mapping[str, Any] = field(default_factory=dict)
    invocation: InvocationPlace = InvocationPlace.GENERATION
    raw: bool = False
