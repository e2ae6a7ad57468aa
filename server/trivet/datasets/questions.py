"""A suite's questions out of the interaction log: of units that nothing was learned from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trivet.datasets.row import Row, plain
from trivet.datasets.split import is_held_out

Judged = Callable[[str], Mapping[str, Any] | None]
"""From a right answer to what a suite's line says of it; None for one that the suite cannot judge."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What trainings had: `units`, and `questions` as `plain` gives them."""

    units: frozenset[str] = frozenset()
    questions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Question:
    """`line`: as `suite.yaml`'s data has it. `row`: where it comes from."""

    line: Mapping[str, Any]
    row: Row


def as_questions(
    rows: Iterable[Row], share: float, learned: Learned, judged: Judged, left_out: Counter[str]
) -> list[Question]:
    """Those of held-out units that are one question with an answer that can be judged; the others are counted.

    `share`: of the units, as an export holds them out.
    """
    return [
        Question({"id": row.request_id, "question": row.question, **line}, row)
        for row in rows
        if (line := _line(row, share, learned, judged, left_out)) is not None
    ]


def _line(row: Row, share: float, learned: Learned, judged: Judged, left_out: Counter[str]) -> Mapping[str, Any] | None:
    reason = "no suite could judge its answer"
    if row.unit in learned.units:
        reason = "its unit was trained on"
    elif plain(row.question) in learned.questions:
        reason = "a training asked it"
    elif not is_held_out(row.unit, share):
        reason = "its unit is for training"
    elif len(row.messages) > 1:
        reason = "it is more than one question"
    elif row.variables:
        reason = "it has variables"
    elif (line := judged(row.target)) is not None:
        return line
    left_out[reason] += 1
    return None
