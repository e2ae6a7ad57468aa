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
    """One turn of a prompt file: pieces of text, and placeholders between them. Never empty."""

    role: Role
    pieces: tuple[str | Placeholder, ...]


@dataclass(frozen=True, slots=True)
class PromptSource:
    """One version of a prompt. `turns`: the system text first, if any, then few-shot user and assistant in turn."""

    ref: VersionRef
    path: Path
    turns: tuple[Turn, ...]
    variables: Mapping[str, Variable] = field(default_factory=dict)
    passages_header: str = DEFAULT_PASSAGES_HEADER
    source_mark: SourceMark = SourceMark.NONE
    description: str = ""
    template_variables: Mapping[str, Any] = field(default_factory=dict)
