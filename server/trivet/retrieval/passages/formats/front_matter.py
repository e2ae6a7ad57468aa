"""YAML front matter of Markdown: a title and tags between two lines of dashes, before the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from trivet import bounded_yaml

MAX_CHARACTERS = 16_384
MAX_TAGS = 32
MAX_TAG = 64  # characters
_FENCE = "---"
_ENDS = ("---", "...")


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """`length`: characters of the text that it takes, its fences included; 0 if there is none."""

    title: str = ""
    tags: tuple[str, ...] = ()
    length: int = 0


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
    return FrontMatter(" ".join(title.split()) if isinstance(title, str) else "", _tags(values.get("tags")), length)


def _tags(value: Any) -> tuple[str, ...]:
    """A list, or words with commas between them; what cannot be a tag is left out."""
    listed = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    tags = [str(tag).strip() for tag in listed if isinstance(tag, str | int)]
    return tuple(dict.fromkeys(tag for tag in tags if 0 < len(tag) <= MAX_TAG))[:MAX_TAGS]
