"""Assignment of units to variants: pinned, fair, sticky, monotone."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from decimal import Decimal, localcontext
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.routing import assignment
from trivet.routing.assignment import assign


class Vector(TypedDict):
    salt: str
    unit: str
    weights: dict[str, float]
    variant: str


VECTORS: list[Vector] = json.loads((Path(__file__).parent / "assignment_vectors.json").read_text())

names = st.text(min_size=1, max_size=6)
positive = st.floats(min_value=1e-6, max_value=1e6)
weighted = st.dictionaries(names, positive, min_size=1, max_size=6)
untimed = settings(deadline=None)  # a busy machine is not a fault


def by_the_book(salt: str, unit: str, weights: dict[str, float]) -> str:
    """The definition again, in decimals and with nothing shared with the implementation."""
    scores: list[tuple[Decimal, str]] = []
    for variant, weight in weights.items():
        parts = [part.encode() for part in (salt, unit, variant)]
        data = b"trivet.assignment.1" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        bits = int(hashlib.sha256(data).hexdigest()[:13], 16)
        if weight:
            with localcontext(prec=60):
                scores.append((-(Decimal(2 * bits + 1) / 2**53).ln() / Decimal(weight), variant))
    return min(scores)[1]


def test_golden_vectors_never_change() -> None:
    assert len(VECTORS) >= 200
    wrong = [v for v in VECTORS if assign(v["salt"], v["unit"], v["weights"]) != v["variant"]]
    assert wrong == []


def test_golden_vectors_follow_the_definition() -> None:
    assert [v for v in VECTORS if by_the_book(v["salt"], v["unit"], v["weights"]) != v["variant"]] == []


def test_exact_decision_agrees_with_the_quick_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "_TOO_CLOSE", math.inf)
    assert [v for v in VECTORS if assign(v["salt"], v["unit"], v["weights"]) != v["variant"]] == []


def test_equal_scores_go_to_the_first_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "_uniform", lambda salt, unit, variant: 0.5)
    assert assign("s", "u", {"b": 1.0, "a": 1.0, "c": 1.0}) == "a"
    assert assign("s", "u", {"b": 1.0, "a": 1.0, "c": 1.0 + 2e-16}) == "c"


@pytest.mark.parametrize("weights", [{"a": 1.0, "b": 1.0}, {"a": 90.0, "b": 9.0, "c": 1.0}, {"a": 5.0, "b": 0.1}])
def test_shares_follow_the_weights(weights: dict[str, float]) -> None:
    units = 20_000
    counts = Counter(assign("shares", f"unit-{i}", weights) for i in range(units))
    total = sum(weights.values())
    chi_square = sum((counts[v] - units * w / total) ** 2 / (units * w / total) for v, w in weights.items())
    assert chi_square < 13.8  # p = 0.001 at two degrees of freedom; the units are fixed, so this is no lottery


def test_salts_draw_independently() -> None:
    weights = {"a": 1.0, "b": 1.0}
    same = sum(assign("one", f"u{i}", weights) == assign("two", f"u{i}", weights) for i in range(4000))
    assert 1850 < same < 2150


def test_bytes_of_neighbouring_fields_do_not_run_together() -> None:
    drawn = {
        assignment._uniform(*fields)
        for fields in (("ab", "c", "d"), ("a", "bc", "d"), ("abc", "", "d"), ("", "abc", "d"))
    }
    assert len(drawn) == 4


@untimed
@given(salt=names, unit=st.text(), weights=weighted)
def test_order_and_scale_do_not_matter(salt: str, unit: str, weights: dict[str, float]) -> None:
    chosen = assign(salt, unit, weights)
    assert assign(salt, unit, dict(reversed(weights.items()))) == chosen
    assert assign(salt, unit, {v: w * 4 for v, w in weights.items()}) == chosen
    assert chosen in weights


@untimed
@given(unit=st.text(), before=weighted, data=st.data())
def test_a_unit_moves_only_to_a_variant_that_grew(unit: str, before: dict[str, float], data: st.DataObject) -> None:
    after = {v: data.draw(st.one_of(st.just(w), st.just(0.0), positive)) for v, w in before.items()}
    after |= data.draw(st.dictionaries(names.filter(lambda n: n not in before), positive, max_size=2))
    if not any(after.values()):
        return
    was, now = assign("salt", unit, before), assign("salt", unit, after)
    if was != now:
        assert after[now] * before[was] > before.get(now, 0.0) * after[was]


@untimed
@given(unit=st.text(), weights=weighted)
def test_no_traffic_without_weight(unit: str, weights: dict[str, float]) -> None:
    assert assign("s", unit, {**weights, "\x00none": 0.0}) != "\x00none"


@pytest.mark.parametrize("weights", [{}, {"a": 0.0}, {"a": -1.0, "b": 1.0}, {"a": math.nan}, {"a": math.inf}])
def test_weights_that_cannot_be_drawn_from_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        assign("s", "u", weights)


def test_extreme_weights_still_decide() -> None:
    assert assign("s", "u", {"a": 5e-324, "b": 5e-324}) == assign("s", "u", {"a": 1.0, "b": 1.0})
    assert assign("s", "u", {"a": 5e-324, "b": 1e308}) == "b"


def test_any_unit_can_be_assigned() -> None:
    assert assign("s", "\ud800", {"a": 1.0}) == "a"
