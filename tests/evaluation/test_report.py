"""From answers to tables, a page and a sentence."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.support.evaluation_suites import answered, by_key, make_suite
from trivet.evaluation import wording
from trivet.evaluation.page import page
from trivet.evaluation.plots import Mark, dot_plot, scatter_plot
from trivet.evaluation.report import Report, build_report
from trivet.svg import ticks

N = 100
LINES = [{"question": "?", "answer": "yes", "document": "hub"}] * N
ARMS = {"plain": 80, "close": 79, "far": 20}


def report(folder: Path, right: int, refused: dict[str, str] | None = None) -> Report:
    """`plain` has 50 right, `rag` so many, among them those of `plain` as far as they go."""
    suite = make_suite(folder, LINES, correct=["exact_match"], description="A <b>bold</b> suite.")
    texts = {name: ["yes"] * hits + ["no"] * (N - hits) for name, hits in (("plain", 50), ("rag", right))}
    outcomes = [
        answered(suite, "plain", texts["plain"], cost=1000, input_tokens=10, ttft_ms=5.0),
        answered(suite, "rag", texts["rag"], cost=3000, input_tokens=40, cached_tokens=32, degraded=("x",)),
    ]
    return build_report(suite, "d", by_key(*outcomes), refused or {})


def test_scores_costs_and_the_comparison(tmp_path: Path) -> None:
    (part,) = report(tmp_path, 80).parts
    plain, rag = part.arm("plain"), part.arm("rag")
    assert rag.estimates["correct"].value == 0.8
    assert rag.estimates["cited_right"].value == 0.0
    assert plain.estimates["cost_per_correct"].value == 2000
    assert rag.estimates["cost_per_correct"].value == 3750
    assert rag.estimates["ttft_ms"].value is None  # not known is not 0
    assert plain.estimates["cached_tokens"].value is None
    assert plain.estimates["ttft_ms"].value == 5.0
    assert rag.degraded == N
    assert plain.comparison is None
    comparison = rag.comparison
    assert comparison is not None
    assert (comparison.gained, comparison.lost) == (30, 0)
    assert comparison.difference.value == pytest.approx(0.3)
    interval = comparison.difference.interval
    assert interval is not None
    assert 0.2 < interval.low < 0.23
    assert 0.37 < interval.high < 0.41
    assert comparison.p_value == pytest.approx(2 / 2**30)


def test_a_cost_per_correct_answer_needs_both(tmp_path: Path) -> None:
    suite = make_suite(tmp_path, LINES, correct=["exact_match"])
    outcomes = by_key(answered(suite, "plain", ["no"] * N, cost=5), answered(suite, "rag", ["yes"] * N))
    (part,) = build_report(suite, "d", outcomes, {}).parts
    assert part.arm("plain").estimates["cost_per_correct"].value is None
    assert part.arm("rag").estimates["cost_per_correct"].value is None


def test_chance_is_told_where_there_are_labels(tmp_path: Path) -> None:
    lines = [{"question": "?", "label": label} for label in ("a", "a", "a", "b")]
    suite = make_suite(tmp_path, lines, correct=["label_accuracy", "format_valid"], labels=["a", "b", "c", "d", "e"])
    outcomes = by_key(answered(suite, "plain", ["a"] * 4), answered(suite, "rag", ["b", "a.", "A", "b"]))
    (part,) = build_report(suite, "d", outcomes, {}).parts
    assert part.chance == {"uniform": 0.2, "commonest": 0.75}
    assert part.arm("plain").estimates["correct"].value == 0.75
    assert part.arm("rag").estimates["label_accuracy"].value == 0.75
    assert part.arm("rag").estimates["correct"].value == 0.25
    assert "a random label is right in 20.0%" in wording.remarks(part)[0]


@pytest.mark.parametrize(
    ("right", "said"),
    [
        (80, "rag answers 80.0 [71, 87]% right (n = 100), +30.0 ["),
        (52, "(which may be chance)"),
        (30, "No arm beats the baseline: plain answers 50.0 [40, 60]% right"),
    ],
)
def test_one_sentence_of_what_it_means(tmp_path: Path, right: int, said: str) -> None:
    assert said in wording.sentence(report(tmp_path, right).parts[0])


@pytest.mark.parametrize(
    ("right", "said"),
    [
        (
            30,
            "plain wins: it has 50.0% right (n = 100), and the best other arm, rag has 30.0%; the difference is +20.0",
        ),
        (49, "plain is not shown to win: it has 50.0% right (n = 100), and its lead may be chance over rag (+1.0 poi"),
        (50, "its lead may be chance over rag (+0.0 points, 95% interval [+0.0, +0.0], around zero)."),
        (51, "plain does not win: it has 50.0% right (n = 100), and rag has 51.0%; the difference is -1.0 points, 95"),
        (80, ", below zero."),
    ],
)
def test_whether_an_arm_wins_is_said_plainly(tmp_path: Path, right: int, said: str) -> None:
    part = report(tmp_path, right).parts[0]
    assert said in wording.standing(part, {"rag", "not-asked"})
    assert wording.standing(part, {"not-asked"}) == "Nothing can be said of plain: it was compared with nothing."


def test_a_lead_has_to_be_sure_over_each_rival(tmp_path: Path) -> None:
    suite = make_suite(tmp_path, LINES, correct=["exact_match"], arms={n: {"prompt": "answers@1"} for n in ARMS})
    outcomes = by_key(*(answered(suite, name, ["yes"] * hits + ["no"] * (N - hits)) for name, hits in ARMS.items()))
    (part,) = build_report(suite, "d", outcomes, {}).parts
    assert wording.standing(part, ("close", "far")).endswith("around zero); over the other 1 it is above zero.")
    assert wording.standing(part, ("far",)).endswith("above zero.")


def test_a_refused_arm_is_named_and_not_measured(tmp_path: Path) -> None:
    made = report(tmp_path, 80, {"rag": "the corpus has 9,999 tokens"})
    assert made.parts[0].arm("rag").estimates == {}
    assert wording.remarks(made.parts[0]) == ["rag: not asked, the corpus has 9,999 tokens"]
    assert "9,999" in page(made)
    without_baseline = report(tmp_path / "b", 80, {"plain": "x"})
    assert without_baseline.parts[0].arm("rag").comparison is None
    assert "rag answers" in wording.sentence(without_baseline.parts[0])


def test_the_page_stands_alone_and_escapes(tmp_path: Path) -> None:
    text = page(report(tmp_path, 80))
    assert "A &lt;b&gt;bold&lt;/b&gt; suite." in text
    for outside in ("<script", "href=", "src=", "@import", "url(", "<b>"):
        assert outside not in text
    assert text.count("http") == text.count('xmlns="http://www.w3.org/2000/svg"') + 1  # http-equiv
    for plot in text.split("<svg")[1:]:
        ET.fromstring("<svg" + plot.split("</svg>")[0] + "</svg>")


def test_plots_hold_what_lies_outside_their_span() -> None:
    wide = dot_plot([Mark("<x>", 120.0, -30.0, 150.0, "120")], unit="%", span=(0, 100), line=0.0)
    assert "&lt;x&gt;" in wide
    assert all(
        160 <= float(dot.get("cx", 0)) <= 640 for dot in ET.fromstring(wide).iter() if dot.tag.endswith("circle")
    )
    ET.fromstring(scatter_plot([("a", 1.0, 50.0, False)], across="cost", up="%"))
    ET.fromstring(scatter_plot([("a", 1.0, 50.0, False), ("b", 1000.0, 0.0, True)], across="cost", up="%"))
    ET.fromstring(scatter_plot([("a", 0.0, 50.0, False), ("b", 0.0, 50.0, True)], across="cost", up="%"))
    crowd = ET.fromstring(scatter_plot([(f"arm {i}", 5.0, 0.0, False) for i in range(4)], across="cost", up="%"))
    heights = {text.get("y") for text in crowd.iter() if (text.text or "").startswith("arm")}
    assert len(heights) == 4  # no label on another
    assert ticks(0, 100) == [0, 20, 40, 60, 80, 100]
    assert ticks(-55.0, 46.0) == [-40, -20, 0, 20, 40]
