"""Scores of an index's questions, and what is wrong with its documents."""

from __future__ import annotations

import math
import time
from pathlib import Path

import click
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from trivet.api.v1 import admin_pb2
from trivet.cli.index.quality.health import health
from trivet.cli.index.quality.scores import Answered, Question, read_questions, scores


def answered(right: str, *found: str) -> Answered:
    return Answered(Question("?", frozenset({right})), found)


def test_scores_are_those_of_the_first_right_passage() -> None:
    asked = [answered("a", "a", "a"), answered("a", "b", "a"), answered("a", "b", "b"), answered("a")]
    found = {one.name: one for one in scores(asked, 5)}
    assert list(found) == ["hit@1", "hit@5", "MRR@5", "nDCG@5"]
    assert (found["hit@1"].value, found["hit@5"].value) == (0.25, 0.5)
    assert found["MRR@5"].value == pytest.approx((1 + 1 / 2) / 4)
    assert found["nDCG@5"].value == pytest.approx((1 + 1 / math.log2(3)) / 4)
    assert all(one.interval.low <= one.value <= one.interval.high for one in found.values())
    assert found["hit@1"].interval.low > 0.04


def test_questions_name_their_documents(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('{"question": "a?", "document": "a"}\n\n{"question": "b?", "documents": ["b", "c"]}\n')
    assert [one.documents for one in read_questions(path)] == [{"a"}, {"b", "c"}]
    for line, said in (
        ('{"question": "a?"}', ":1: expected 'document'"),
        ("[]", ":1: no 'question'"),
        ('{"question": " ", "document": "a"}', ":1: no 'question'"),
        ('{"question": "a?", "documents": [1]}', ":1: expected 'document'"),
        ("", "has no questions"),
    ):
        path.write_text(line)
        with pytest.raises(click.UsageError) as raised:
            read_questions(path)
        assert said in str(raised.value)
    path.write_bytes('\ufeff{"question": "a\u2028b?", "document": "a"}\r\n'.encode())
    assert read_questions(path)[0].text == "a\u2028b?"
    path.write_bytes('{"question": "é", "document": "a"}'.encode("latin-1"))
    with pytest.raises(click.UsageError, match="it is not UTF-8"):
        read_questions(path)


def test_documents_that_nothing_finds_that_are_the_same_that_are_old() -> None:
    now, old = int(time.time()), int(time.time()) - 400 * 86_400

    def summary(id_: str, content: str, updated: int, tenant: str = "", until: int | None = None) -> object:
        return admin_pb2.DocumentSummary(
            id=id_,
            tenant=tenant,
            content=content,
            updated=Timestamp(seconds=updated),
            valid_until=None if until is None else Timestamp(seconds=until),
        )

    documents = [
        summary("a", "1", now),
        summary("b", "1", now),
        summary("c", "2", old),
        summary("d", "3", now, tenant="acme"),
        summary("e", "", now, until=old),
        summary("f", "", now),
    ]
    found = health(documents, {"a", "c"}, 365)  # type: ignore[arg-type]
    assert found.never_found == ("b", "f"), "a tenant's are not searched, and what has ended cannot be found"
    assert found.duplicates == (("a", "b"),), "without passages nothing is the same"
    assert (found.stale, found.expired) == (("c",), ("e",))
