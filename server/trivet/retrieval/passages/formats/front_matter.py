"""YAML front matter of Markdown: a title, tags and fields between two lines of dashes, before the text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import yaml

from trivet import bounded_yaml
from trivet.types.metadata import fields as field_rules

MAX_CHARACTERS = 16_384
MAX_TAGS = 32
MAX_TAG = 64  # characters
_FENCE = "---"
_FIELD = re.compile(field_rules.FIELD_NAME)
_OWN = ("title", "tags")
_ENDS = ("---", "...")


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """`length`: characters of the text that it takes, its fences included; 0 if there is none.
    `fields`: as JSON has them, whether or not an index declares them."""

    title: str = ""
    tags: tuple[str, ...] = ()
    length: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)


def read_front_matter(text: str) -> FrontMatter:
    """What stands before a Markdown text. What is no mapping, too long or too deep, or uses aliases is text."""
    first, newline, _ = text[: len(_FENCE) + 80].partition("\n")
    if not newline or first.rstrip() != _FENCE:
        return FrontMatter()
    begin = at = len(first) + 1
    while at < min(len(text), MAX_CHARACTERS):
        line, newline, _ = text[at : at + MAX_CHARACTERS].partition("\n")
        if line.rstrip() in _ENDS:
            return _of(text[begin:at], at + len(line) + len(newline))
        at += len(line) + 1
    return FrontMatter()


def _of(block: str, length: int) -> FrontMatter:
    try:
        values = bounded_yaml.load(block, aliases=False)
    except yaml.YAMLError:
        return FrontMatter()
    if values is None:
        return FrontMatter(length=length)
    if not isinstance(values, dict):
        return FrontMatter()
    title = values.get("title")
    words = " ".join(title.split()) if isinstance(title, str) else ""
    return FrontMatter(words, _tags(values.get("tags")), length, _fields(values))


def _fields(values: Mapping[Any, Any]) -> dict[str, Any]:
    """What may be the value of a field; the first of them where there are too many."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(name, str) and name not in _OWN and _FIELD.fullmatch(name) and len(found) < field_rules.MAX_GIVEN:
            plain = (
                [_plain(item) for item in value[: field_rules.MAX_ITEMS + 1]]
                if isinstance(value, list)
                else _plain(value)
            )
            if plain is not None and plain != []:
                found[name] = plain
    return found


def _plain(value: Any) -> Any:
    """A scalar as JSON has it: YAML knows dates. None for anything else."""
    if isinstance(value, date):  # a time of day, too
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool) else None


def _tags(value: Any) -> tuple[str, ...]:
    """A list, or words with commas between them; what cannot be a tag is left out."""
    listed = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    tags = [str(tag).strip() for tag in listed if isinstance(tag, str | int)]
    return tuple(dict.fromkeys(tag for tag in tags if 0 < len(tag) <= MAX_TAG))[:MAX_TAGS]
