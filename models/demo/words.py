"""The words of the generated documents, from `words.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_FOUND: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())


def _split(section: str) -> tuple[str, ...]:
    return tuple(_FOUND[section].split())


NUMERIC: dict[str, tuple[str, ...]] = {noun: tuple(units) for noun, units in _FOUND["numeric"].items()}
NAMED: dict[str, tuple[str, ...]] = {attribute: tuple(kinds) for attribute, kinds in _FOUND["named"].items()}
VERBS: tuple[tuple[str, str, str, str], ...] = tuple(tuple(verb) for verb in _FOUND["verbs"])
PASSIVES: tuple[tuple[str, str, str], ...] = tuple(tuple(passive) for passive in _FOUND["passives"])
ADJECTIVES = _split("adjectives")
VALUES = _split("values")
DAYS = _split("days")
MONTHS = _split("months")
KINDS = _split("kinds")
SUFFIXES = _split("suffixes")
NOUNS = _split("nouns")
OTHERS = _split("others")
