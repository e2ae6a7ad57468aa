"""The demo's tickets: enough phrasings to learn from, and held-out ones that the training does not repeat."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

FOUND: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "models" / "demo" / "tickets.yaml").read_text())
CLOSEST = 2 / 3  # words in common of all words of both


def expanded(phrasing: str) -> Iterator[str]:
    parts = [part.split("|") for part in re.split(r"\[([^\]]*)\]", phrasing)]
    yield from ("".join(chosen) for chosen in itertools.product(*parts))


def words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z{}']+", text.lower()))


@pytest.fixture(scope="module")
def trained() -> set[frozenset[str]]:
    """The words of every training phrasing, all choices taken."""
    return {words(text) for phrasing in itertools.chain(*FOUND["train"].values()) for text in expanded(phrasing)}


@pytest.mark.parametrize("label", FOUND["labels"])
def test_a_label_has_many_phrasings_and_its_held_out_ones_stand_apart(label: str, trained: set[frozenset[str]]) -> None:
    phrasings = FOUND["train"][label]
    assert len(phrasings) == len(set(phrasings)) >= 40
    for held_out in FOUND["held_out"][label]:
        asked = words(held_out)
        closest = max(trained, key=lambda known: len(asked & known) / len(asked | known))
        assert len(asked & closest) / len(asked | closest) <= CLOSEST, f"{held_out}: {sorted(closest)}"


def test_no_bracket_or_placeholder_is_left_open() -> None:
    for phrasing in itertools.chain(*FOUND["train"].values(), *FOUND["held_out"].values(), FOUND["contexts"]):
        for text in expanded(phrasing):
            assert not set(re.sub(r"\{[ndm]\}", "", text)) & set("[]{}|"), phrasing
            assert "  " not in text
