"""Worked examples out of an index: passages that are `{"question": ..., "answer": ...}`."""

from __future__ import annotations

import json

from trivet.types.passage import Passage
from trivet.types.prompt import WorkedExample


def example_of(passage: Passage) -> WorkedExample | None:
    """The example in a passage; None if there is none in it."""
    try:
        value = json.loads(passage.text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    question, answer = value.get("question"), value.get("answer")
    if not (isinstance(question, str) and isinstance(answer, str) and question.strip() and answer.strip()):
        return None
    return WorkedExample(passage.id, question.strip(), answer.strip())
