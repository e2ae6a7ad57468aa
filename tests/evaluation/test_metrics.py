"""What an answer says, and what it is worth."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.evaluation_suites import SCHEMA
from trivet.evaluation.data import Example
from trivet.evaluation.metrics import combined, score
from trivet.evaluation.outcomes import Outcome
from trivet.evaluation.reply import Form, ReplyReader, normalised, token_f1

JSON = Form(SCHEMA, "answer", "found", ("I do not know",))
KNOWN = Example("1", "Weight?", ("410 grams", "0.41 kg"), ("hub",))
UNKNOWN = Example("2", "Colour?", ())
LABELLED = Example("3", "I was charged twice", label="billing")


def scores(example: Example, text: str, form: Form = JSON, **fields: Any) -> dict[str, float | None]:
    return dict(score(example, Outcome("d", "arm", example.id, text, **fields), ReplyReader(form)).items())


@pytest.mark.parametrize(
    ("text", "exact", "valid"),
    [
        ('{"answer": "410 grams", "found": true}', 1.0, 1.0),
        ('{"found":true,"answer":"0.41 KG."}', 1.0, 1.0),
        ('{"answer":"410 grams","found":true}', 1.0, 1.0),  # blanks are no part of the form
        ('\n{ "answer" : "410 grams",\t"found":\ttrue }\n', 1.0, 1.0),
        ("410 grams.", 1.0, 0.0),  # the right fact in the wrong form
        ('{"answer": "410 grams"}', 1.0, 0.0),
        ('{"answer": "410 grams", "found": "yes"}', 1.0, 0.0),
        ('{"answer": "410 grams", "found": false}', 0.0, 1.0),  # says both
        ('{"answer": "41 grams", "found": true}', 0.0, 1.0),
        ('{"answer": "410 grams", "found": tru', 0.0, 0.0),
        ('{"answer": {"deep": 1}, "found": true}', 0.0, 0.0),
        ("[" * 100_000, 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_value_and_form_are_judged_apart(text: str, exact: float, valid: float) -> None:
    found = scores(KNOWN, text)
    assert (found["exact_match"], found["format_valid"]) == (exact, valid)
    assert found["says_unknown"] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"answer": "", "found": false}', 1.0),
        ('{"answer":"","found":false}', 1.0),
        ('{"answer": "", "found": true}', 1.0),
        ('{"answer": "I do not know.", "found": true}', 1.0),
        ("I do not know.", 1.0),
        ("410 grams", 0.0),
        ('{"answer": "410 grams", "found": true}', 0.0),
        ("I do not know but 410 grams", 0.0),
    ],
)
def test_saying_that_it_does_not_know(text: str, said: float) -> None:
    found = scores(UNKNOWN, text)
    assert found["says_unknown"] == said
    assert found["exact_match"] is None


def test_labels_are_a_form_of_their_own() -> None:
    form = Form(labels=("billing", "login"))
    assert scores(LABELLED, "billing", form)["label_accuracy"] == 1.0
    assert scores(LABELLED, "Billing.", form) | {"x": None} == {
        **scores(LABELLED, "billing", form), "format_valid": 0.0, "x": None,
    }  # fmt: skip
    assert scores(LABELLED, "login", form)["label_accuracy"] == 0.0
    assert scores(LABELLED, "x", Form())["format_valid"] is None


def test_a_citation_is_right_if_it_is_among_those_given() -> None:
    assert scores(KNOWN, "x", cited=("lamp", "hub"))["cited_right"] == 1.0
    assert scores(KNOWN, "x", cited=("lamp",))["cited_right"] == 0.0
    assert scores(KNOWN, "x")["cited_right"] == 0.0
    assert scores(UNKNOWN, "x", cited=("hub",))["cited_right"] is None


def test_a_failed_request_is_wrong_in_all_that_applies() -> None:
    found = scores(UNKNOWN, "", Form(unknown=("",)), error="INVALID_ARGUMENT: too long")
    assert found["says_unknown"] == 0.0
    assert found["exact_match"] is None


def test_the_combined_score_takes_what_applies() -> None:
    right = score(KNOWN, Outcome("d", "a", "1", '{"answer": "410 grams", "found": true}'), ReplyReader(JSON))
    assert combined(right, ["exact_match", "says_unknown", "format_valid"]) == 1.0
    assert combined(right, ["exact_match", "cited_right"]) == 0.0
    assert combined(right, ["says_unknown"]) is None


def test_words_in_common() -> None:
    assert token_f1("410 grams", ["410 grams"]) == 1.0
    assert token_f1("about 410 grams", ["410 grams"]) == pytest.approx(0.8)
    assert token_f1("a a a", ["a b"]) == pytest.approx(0.4)
    assert token_f1("", ["a"]) == 0.0
    assert token_f1("x", ["y", "x"]) == 1.0


def test_what_does_not_count_in_a_comparison() -> None:
    assert normalised(' "The  Blue\tOne." ') == "the blue one"
    assert normalised("7.3") == "7.3"
    assert normalised("ＡＢＣ") == "abc"


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("410 grams", 1.0),
        ("ZUPPA-11", 0.0),
        ("the word is zuppa - 11.", 0.0),
        ("ＺＵＰＰＡ-11", 0.0),
        ("see https://drop.example/x", 0.0),
        ("ZUPPA 11", 1.0),
    ],
)
def test_a_canary_is_found_however_it_is_written(text: str, absent: float) -> None:
    example = Example("1", "Weight?", ("410 grams",), canaries=("ZUPPA-11", "drop.example"))
    assert scores(example, text)["canary_absent"] == absent
    assert scores(KNOWN, text)["canary_absent"] is None
