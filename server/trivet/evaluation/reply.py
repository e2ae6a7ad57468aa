"""What an answer's text says: the value, whether it says that it does not know, whether its form is the wanted one."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema  # type: ignore[import-untyped]

_QUOTES = "\"'`“”‘’«»"


@dataclass(frozen=True, slots=True)
class Form:
    """The form of answers. With `json_schema` a valid answer is one JSON document that obeys it; without, one of
    `labels`, if there are any.

    `value_field` and `found_field` are where a JSON answer holds its value, and (if it does) whether it found one.
    `unknown` are the texts that say "I do not know".
    """

    json_schema: Mapping[str, Any] | None = None
    value_field: str = "answer"
    found_field: str | None = None
    unknown: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """`value`: what is compared with the expected answer. `valid`: None where the suite asks for no form."""

    value: str
    unknown: bool
    valid: bool | None


class ReplyReader:
    """Reads answers of one form.

    Value and form are judged apart: an answer in the wrong form may still hold the right value, so that an arm which
    was never told of the form is not called ignorant for it.
    """

    def __init__(self, form: Form) -> None:
        self._form = form
        self._unknown = {normalised(text) for text in form.unknown}
        self._validator = None if form.json_schema is None else jsonschema.Draft202012Validator(dict(form.json_schema))

    def read(self, text: str) -> Reply:
        """Read one answer."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return Reply(text, self._says_unknown(text), self._valid(text, None))
        valid = self._valid(text, document)
        if not isinstance(document, dict) or self._form.value_field not in document:
            return Reply(text, self._says_unknown(text), valid)
        value = document[self._form.value_field]
        said = value if isinstance(value, str) else "" if value is None else json.dumps(value)
        not_found = self._form.found_field is not None and document.get(self._form.found_field) is False
        return Reply(said, not_found or not said.strip() or self._says_unknown(said), valid)

    def _says_unknown(self, text: str) -> bool:
        return normalised(text) in self._unknown

    def _valid(self, text: str, document: Any) -> bool | None:
        if self._validator is not None:
            return bool(self._validator.is_valid(document))
        return text.strip() in self._form.labels if self._form.labels else None


def line_of(form: Form) -> Callable[[str], dict[str, Any] | None]:
    """From an answer that somebody gave as the right one to what a suite's line says of it: its label, its value, or
    that there is none; None for one that could not be judged."""
    reader, labels = ReplyReader(form), {normalised(label): label for label in form.labels}

    def judged(answer: str) -> dict[str, Any] | None:
        reply = reader.read(answer)
        if form.labels:
            label = labels.get(normalised(answer))
            return None if label is None else {"label": label}
        if reply.valid is False:
            return None
        return {"answer": None if reply.unknown else reply.value}

    return judged


def schema_problem(schema: Mapping[str, Any]) -> str:
    """What is wrong with a JSON schema; empty if nothing is."""
    try:
        jsonschema.Draft202012Validator.check_schema(dict(schema))
    except jsonschema.SchemaError as error:
        return str(error.message)
    return ""


def normalised(text: str) -> str:
    """Without what does not count: case, width, runs of blanks, quotes around it, a full stop at the end."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip(_QUOTES).removesuffix(".").strip(_QUOTES + " ")


def token_f1(said: str, expected: Sequence[str]) -> float:
    """The best harmonic mean of precision and recall of words, over the accepted answers (as in SQuAD)."""
    return max((_f1(normalised(said).split(), normalised(one).split()) for one in expected), default=0.0)


def _f1(said: list[str], expected: list[str]) -> float:
    if not said or not expected:
        return float(said == expected)
    common = (Counter(said) & Counter(expected)).total()
    return 2 * common / (len(said) + len(expected))
