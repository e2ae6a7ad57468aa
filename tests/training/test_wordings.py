"""The demo model's wordings: what is kept for the evaluation is never trained on."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

DEMO = Path(__file__).parents[2] / "models" / "demo"
WORDING: dict[str, Any] = yaml.safe_load((DEMO / "wording.yaml").read_text())
INSTRUCTIONS: dict[str, Any] = yaml.safe_load((DEMO / "instructions.yaml").read_text())
LISTS = [(found, key) for found in (WORDING, INSTRUCTIONS) for key in found if key.endswith("_held_out")]
HEADINGS = "headings_held_out"  # these differ in their punctuation


def bare(form: str) -> str:
    return re.sub(r"[^a-z{}]", "", form.lower())


@pytest.mark.parametrize(("found", "key"), LISTS, ids=[key for _, key in LISTS])
def test_no_held_out_form_is_listed_for_training(found: dict[str, list[str]], key: str) -> None:
    same = str if key == HEADINGS else bare
    trained = {same(form) for form in found[key.removesuffix("_held_out")]}
    assert len(found[key]) >= 4
    assert trained.isdisjoint(same(form) for form in found[key])


def test_the_grammar_draws_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DEMO)
    import grammar
    import wording

    monkeypatch.setitem(grammar.RULES, "attribute_question", ["Can you look up the {a} <of> {e}?"])
    monkeypatch.setitem(grammar.RULES, "of", ["of", "about"])
    drawn = {wording._from_grammar(random.Random(seed), "attribute_question") for seed in range(50)}
    assert drawn == {"Can you look up the {a} about {e}?"}  # the other is held out


def test_every_slot_of_the_grammar_is_a_rule() -> None:
    rules: dict[str, list[str]] = yaml.safe_load((DEMO / "grammar.yaml").read_text())
    slots = {slot for forms in rules.values() for form in forms for slot in re.findall(r"<(\w+)>", form)}
    assert slots <= rules.keys()
