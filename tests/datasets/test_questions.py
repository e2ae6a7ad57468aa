"""A suite from the log and training data from the log never share a unit or a question, whichever was made first."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.datasets.test_selection import chats, said
from trivet.api.v1 import inference_pb2, interaction_pb2
from trivet.datasets.questions import Learned, Question, as_questions
from trivet.datasets.row import plain
from trivet.datasets.selection import select
from trivet.datasets.split import Split, split

LOG = st.lists(
    st.tuples(st.sampled_from("abcdefghij"), st.sampled_from(["u1", "u2", "u3", "u4", "u5", ""])), max_size=40
)
SHARE = st.floats(0.01, 0.9)
NOTHING = Learned()


def answered(answer: str) -> dict[str, Any]:
    return {"answer": answer}


def log_of(asked: list[tuple[str, str]]) -> list[interaction_pb2.Interaction]:
    return [said(number, text, unit=unit, score=1.0) for number, (text, unit) in enumerate(asked)]


def suite_of(
    log: list[interaction_pb2.Interaction], share: float, learned: Learned = NOTHING
) -> tuple[list[Question], Counter[str]]:
    left_out: Counter[str] = Counter()
    return as_questions(chats(*log, held_out=share).rows, share, learned, answered, left_out), left_out


def units(questions: list[Question]) -> frozenset[str]:
    return frozenset(question.row.unit for question in questions)


def asked_of(questions: list[Question]) -> frozenset[str]:
    return frozenset(plain(question.line["question"]) for question in questions)


def learned_from(parts: Split) -> Learned:
    return Learned(
        frozenset(row.unit for row in parts.training), frozenset(plain(row.question) for row in parts.training)
    )


@given(LOG, SHARE, SHARE)
def test_an_export_after_a_suite_has_none_of_its_units_and_questions(
    asked: list[tuple[str, str]], share: float, held_out: float
) -> None:
    log = log_of(asked)
    questions, _ = suite_of(log, share)
    kept = units(questions)
    asked_there = asked_of(questions)
    chosen = select(log, "chats", good=0.8, margin=0.5, taken=asked_there, units=kept, held_out=held_out)
    parts = split(chosen.rows, held_out)
    for row in (*parts.training, *parts.held_out):
        assert row.unit not in kept
        assert plain(row.question) not in asked_of(questions)


@given(LOG, SHARE, SHARE)
def test_a_suite_after_an_export_has_none_of_its_training_units_and_questions(
    asked: list[tuple[str, str]], share: float, held_out: float
) -> None:
    log = log_of(asked)
    learned = learned_from(split(chats(*log, held_out=held_out).rows, held_out))
    questions, left_out = suite_of(log, share, learned)
    assert not units(questions) & learned.units
    assert not asked_of(questions) & learned.questions
    assert len(questions) + left_out.total() == len(chats(*log).rows)


@given(LOG, SHARE)
def test_with_the_same_share_no_unit_of_a_suite_was_trained_on_even_if_nobody_says_so(
    asked: list[tuple[str, str]], share: float
) -> None:
    log = log_of(asked)
    assert not units(suite_of(log, share)[0]) & learned_from(split(chats(*log, held_out=share).rows, share)).units


def test_what_a_suite_cannot_ask_or_judge_is_counted() -> None:
    later, varied = said(1, "and then?", unit="a", score=1.0), said(2, "who?", unit="b", score=1.0)
    later.messages.insert(0, inference_pb2.Message(role="user", content="first"))
    varied.variables["city"] = "Bonn"
    log = [later, varied, said(3, "x", "bad", unit="c", score=1.0), said(4, "y", "good", unit="d", score=1.0)]
    left_out: Counter[str] = Counter()

    def judged(answer: str) -> dict[str, Any] | None:
        return {"answer": answer} if answer == "good" else None

    [question] = as_questions(chats(*log).rows, 1.0, Learned(), judged, left_out)
    assert question.line == {"id": "r4", "question": "y", "answer": "good"}
    assert left_out == {"it is more than one question": 1, "it has variables": 1, "no suite could judge its answer": 1}
