"""The benchmark of the second manual: what counts as right, and pages without their structure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.second_manual.manual import MANUALS, Answer, Question, flattened
from benchmarks.second_manual.report import MODES, report
from benchmarks.second_manual.run import Asked, Measured, rank
from trivet.types.passage import Document, DocumentFormat

DESCRIBED = {
    **{"date": "today", "revision": "1", "changed": False, "cpu": "any", "cores": 1, "memory_gib": 1.0},
    **{"system": "Linux", "python": "3.11", "packages": {}, "load_average": 0.0},
}
SPELT = "misspelt, not corrected"

QUESTION = Question(
    "list", "How large is it?", (Answer("sizes", ("With Desktop", "10 gigabytes")), Answer("b", ("x",)))
)


def test_a_passage_answers_only_with_all_of_the_words_and_on_the_right_page() -> None:
    assert QUESTION.answered_by("sizes", "| With desktop | 2 | **10 giga**bytes |")
    assert not QUESTION.answered_by("sizes", "With Desktop | 2 gigabytes")
    assert not QUESTION.answered_by("others", "With Desktop | 10 gigabytes")
    assert QUESTION.on_page("b")
    assert not QUESTION.on_page("others")


def test_the_rank_is_that_of_the_first_right_one() -> None:
    assert rank([False, True, True]) == 2
    assert rank([False]) is None


def test_flattened_pages_keep_their_words_and_no_tags() -> None:
    page = b"<html><title>A &amp; B</title><body><h2>One</h2><table><tr><td>x<td>y</td></tr></table></body></html>"
    (plain,) = flattened([Document("a", page, DocumentFormat.HTML)])
    assert (plain.id, plain.title, plain.content, plain.format) == ("a", "A & B", b"One\nx y", DocumentFormat.TEXT)


@pytest.mark.parametrize(
    ("manual", "expected"),
    [
        ("installation-guide", {"list": 14, "name": 8, "near": 8, "paraphrase": 10}),
        ("reference", {"table": 16, "items": 12}),
        ("aptitude", {"table": 7, "terms": 20, "items": 5}),
        ("bind", {"table": 15, "terms": 22, "items": 9}),
    ],
)
def test_questions_are_as_many_and_as_various_as_the_page_says(manual: str, expected: dict[str, int]) -> None:
    asked = MANUALS[manual].questions()
    assert Counter(one.kind for one in asked) == expected
    assert len({one.text for one in asked}) == len(asked)


def test_an_earlier_run_is_compared_question_by_question() -> None:
    manual = MANUALS["aptitude"]
    asked = [replace(QUESTION, kind=kind) for kind in ("table", "table", "near")]
    ranks = {mode: [1, 2, None] for mode in MODES}
    measured = Measured(manual, asked, {"default": Asked(ranks, ranks)}, {"default": 1}, {SPELT: [1, 1]})
    lines = report(DESCRIBED, [measured], {manual.name: [2, None, 4]})
    (listed,) = (line for line in lines if line.startswith("| aptitude, tables and lists | 2 | 0.250 ("))
    assert "| +0.500 (" in listed
    assert any(line.startswith("| aptitude, others | 1 | 0.250") and "| -0.250 (" in line for line in lines)
