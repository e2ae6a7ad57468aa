"""A prompt file as what a search changes: its system text and its worked examples; the head stays."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from trivet.errors import ConfigError
from trivet.prompts.template.parser import read_prompt
from trivet.prompts.template.source import Turn
from trivet.types.variant import VersionRef

_HEAD = re.compile(r"---[ \t]*\n(?:.*\n)*?---[ \t]*\n")
Shot = tuple[str, str]
"""A worked example: the user's text and the assistant's."""

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


@dataclass(frozen=True)
class Candidate:
    """`head`: the front matter with its lines `---`, or nothing. Variables stand as `{{ name }}`."""

    head: str
    system: str
    shots: tuple[Shot, ...]

    @cached_property
    def text(self) -> str:
        """The whole file."""
        parts = [self.system.strip()] if self.system.strip() else []
        for user, assistant in self.shots:
            parts += [f"<!-- user -->\n{user.strip()}", f"<!-- assistant -->\n{assistant.strip()}"]
        return self.head + "\n\n".join(parts) + "\n"

    @cached_property
    def digest(self) -> str:
        """12 hexadecimal digits of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]


def read_candidate(ref: VersionRef, path: Path) -> Candidate:
    """The prompt as it is. ConfigError if it cannot be read, or is raw and so has no system text or examples."""
    source = read_prompt(ref, path)
    if source.raw:
        raise ConfigError([f"{path}:1: raw: a raw prompt has no worked examples, expected one that is not"])
    head = _HEAD.match(path.read_text(encoding="utf-8-sig").replace("\r\n", "\n"))
    turns = [(turn.role, _text(turn)) for turn in source.turns]
    system = turns.pop(0)[1] if turns and turns[0][0] == "system" else ""
    texts = [text for _, text in turns]
    return Candidate(head[0] if head else "", system, tuple(zip(texts[::2], texts[1::2], strict=True)))


def can_stand(*texts: str) -> bool:
    """Whether texts of others can be a worked example: neither blank, nor what a prompt file takes for a variable or
    for a mark."""
    return all(
        text.strip() and "{{" not in text and not any(line.lstrip().startswith("<!--") for line in text.split("\n"))
        for text in texts
    )


def _text(turn: Turn) -> str:
    return "".join(piece if isinstance(piece, str) else f"{{{{ {piece.name} }}}}" for piece in turn.pieces)


def placeholders(text: str) -> Sequence[str]:
    """The variables of a text, each once, in alphabetical order."""
    return sorted(set(_VARIABLE.findall(text)))
