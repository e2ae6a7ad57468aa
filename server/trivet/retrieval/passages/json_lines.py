"""JSON lines: passages that were cut elsewhere, and examples.

A line is `{"text": ..., "title"?: ...}`, a passage as it is, or `{"question": ..., "answer": ...}`, an example that is
found by its question. The text of an example is such an object again, so that both halves can be told apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trivet.errors import DocumentRejected

MAX_LINES = 10_000
_PASSAGE = {"text", "title"}
_EXAMPLE = {"question", "answer"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line read. `question` is empty but for an example."""

    text: str
    title: str = ""
    question: str = ""


def read_lines(content: str) -> Iterator[Line]:
    """The lines of one document, blank ones left out; raises DocumentRejected naming the line."""
    for number, raw in enumerate(content.split("\n"), 1):
        if number > MAX_LINES:
            raise DocumentRejected(f"more than {MAX_LINES:,} lines, expected several documents instead")
        if raw.strip():
            try:
                yield _line(parse_object(raw))
            except ValueError as error:
                raise DocumentRejected(f"line {number}: {error}") from None


def parse_object(text: str) -> dict[str, Any]:
    """A JSON object; raises ValueError for anything else, and for a name that is given twice."""
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at character {error.pos})") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"a JSON {type(value).__name__}, expected an object")
    return value


def example_text(question: str, answer: str) -> str:
    """The text of an example's passage."""
    return json.dumps({"question": question, "answer": answer}, ensure_ascii=False)


def _line(value: dict[str, Any]) -> Line:
    """Raises ValueError."""
    for name, part in value.items():
        if not isinstance(part, str):
            raise ValueError(f"{name!r} is not a string")
        if "\0" in part or any("\ud800" <= character <= "\udfff" for character in part):
            raise ValueError(f"{name!r} is not text: it has a NUL character or half a surrogate pair")
    if value.keys() == _EXAMPLE:
        if not (value["question"].strip() and value["answer"].strip()):
            raise ValueError("'question' or 'answer' is empty")
        return Line(example_text(value["question"], value["answer"]), question=value["question"].strip())
    if "text" not in value or not value.keys() <= _PASSAGE:
        found = ", ".join(sorted(value)) or "nothing"
        raise ValueError(f"has {found[:200]}; expected text and maybe title, or question and answer")
    if not value["text"].strip():
        raise ValueError("'text' is empty")
    text = value["text"].replace("\r\n", "\n").replace("\r", "\n").strip()
    return Line(text, " ".join(value.get("title", "").split()))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a name is given twice")
    return dict(pairs)
