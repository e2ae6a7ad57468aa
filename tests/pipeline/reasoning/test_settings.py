"""How a variant reasons: read, and refused where it could not apply."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from trivet.config.schema.routes import VariantSection
from trivet.types.variant import AgreeOn, Reasoning, SelfConsistency, ThoughtMarks

VOTES = {"self_consistency": {"samples": 5}}


def variant(reasoning: dict[str, Any], *, temperature: float = 0.7, **more: Any) -> VariantSection:
    sampling = {"temperature": temperature}
    data = {"backend": "local", "prompt": "p@1", "sampling": sampling, "reasoning": reasoning, **more}
    return VariantSection.model_validate(data)


def test_both_settings_are_read() -> None:
    found = variant({"self_consistency": {"samples": 3, "agree_on": "label", "labels": ["a"]}, "thought": {}}).reasoning
    assert found is not None
    several = SelfConsistency(3, AgreeOn.LABEL, labels=("a",))
    assert found.settings() == Reasoning(several, ThoughtMarks("<thinking>", "</thinking>"))


@pytest.mark.parametrize(
    ("reasoning", "more", "told"),
    [
        ({}, {}, "expected self_consistency, thought or both"),
        (VOTES, {"temperature": 0.0}, "draws the same answer each time"),
        ({"thought": {}}, {"json_schema": {"type": "object"}}, "leaves no room for a thought"),
        ({"self_consistency": {"samples": 17}}, {}, "less than or equal to 16"),
        ({"self_consistency": {"samples": 2, "field": "a"}}, {}, "only agree_on: json looks at"),
        ({"self_consistency": {"samples": 2, "agree_on": "label"}}, {}, "needs labels"),
        ({"thought": {"begin": "x", "end": "x"}}, {}, "two different marks"),
    ],
)
def test_what_could_not_apply_is_refused(reasoning: dict[str, Any], more: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        variant(reasoning, **more)
