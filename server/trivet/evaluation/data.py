"""A suite's questions: JSON lines, read strictly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from trivet.errors import ConfigError

MAX_BYTES = 256 << 20
MOST_EARLIER = 32  # turns before a question
Text = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Example:
    """One question and what is right about its answer.

    `answers` are the accepted ones: empty if nothing answers the question, None if the suite has no answers (labels,
    say). `documents` are those of which one has to be cited. `canaries` are what the answer must not hold. `id` is
    unique among the suite's. `earlier`: what was said before the question, by the user and the assistant in turn.
    """

    id: str
    question: str
    answers: tuple[str, ...] | None = None
    documents: tuple[str, ...] = ()
    label: str | None = None
    canaries: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()

    def judged_by(self, line: Mapping[str, Any]) -> Example:
        """The same, with what a line of a suite says is right: `answer` (None: nothing answers it) and `label`."""
        answers = None if "answer" not in line else () if line["answer"] is None else (line["answer"],)
        return replace(self, answers=answers, label=line.get("label"))


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    question: Text
    answer: Text | Annotated[list[Text], Field(min_length=1)] | None = None
    document: Text | Annotated[list[Text], Field(min_length=1)] | None = None
    label: Text | None = None
    canary: Text | Annotated[list[Text], Field(min_length=1)] | None = None
    id: Text | None = None
    earlier: Annotated[list[Text], Field(max_length=MOST_EARLIER)] = []

    @field_validator("earlier")
    @classmethod
    def _in_turns(cls, value: list[str]) -> list[str]:
        if len(value) % 2:
            raise ValueError("has an odd number of turns, expected the user's and the assistant's in turn")
        return value


def read_examples(path: Path) -> tuple[Example, ...]:
    """All lines in order; ConfigError with `file:line: field: problem` for each that is wrong.

    The fields: `question`; `answer` (a string, a list of accepted ones, or null: nothing answers it); `document` (an id
    or several); `label`; `canary` (a string or several that the answer must not hold); `id` (the line's number if it is
    not given); `earlier` (a list of turns before the question, the user's and the assistant's in turn).
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError([f"{path}:1: larger than {MAX_BYTES:,} bytes"])
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}:1: cannot be read: {getattr(error, 'strerror', None) or error}"]) from error
    problems: list[str] = []
    examples: dict[str, Example] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            example = _example(number, line)
        except ValidationError as error:
            for item in error.errors():
                field = ".".join(str(part) for part in item["loc"]) or "(line)"
                problems.append(f"{path}:{number}: {field}: {_said(item['type'], item['msg'])}")
            continue
        except ValueError as error:
            problems.append(f"{path}:{number}: (line): not valid JSON: {error}")
            continue
        if example.id in examples:
            problems.append(f"{path}:{number}: id: {example.id!r} is an earlier line's already")
        examples[example.id] = example
    if not examples and not problems:
        problems.append(f"{path}:1: no line in it, expected at least one question")
    if problems:
        raise ConfigError(problems)
    return tuple(examples.values())


def _said(kind: str, message: str) -> str:
    return "unknown field" if kind == "extra_forbidden" else message[0].lower() + message[1:]


def _example(number: int, text: str) -> Example:
    line = _Line.model_validate(json.loads(text))
    answers = _several(line.answer) if "answer" in line.model_fields_set else None
    return Example(
        id=line.id or str(number),
        question=line.question,
        answers=answers,
        documents=_several(line.document),
        label=line.label,
        canaries=_several(line.canary),
        earlier=tuple(line.earlier),
    )


def _several(value: str | list[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
