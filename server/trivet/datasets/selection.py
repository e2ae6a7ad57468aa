"""Which interactions become rows, and why the others do not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from trivet.api.v1 import inference_pb2, interaction_pb2
from trivet.datasets.row import Row, Source, plain
from trivet.datasets.split import is_held_out

Form = Literal["chats", "pairs"]
_ROLES = ("system", "user", "assistant")


@dataclass(slots=True)
class Selection:
    """What was chosen. `left_out`: how many interactions were not, by the reason; `read`: all of them."""

    rows: list[Row] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    read: int = 0


def select(
    interactions: Iterable[interaction_pb2.Interaction],
    form: Form,
    *,
    good: float,
    margin: float,
    taken: frozenset[str],
    units: frozenset[str] = frozenset(),
    held_out: float = 0.0,
) -> Selection:
    """Rows of the one form or the other, corrected ones first, each conversation once: a held-out unit's if there is.

    `good`: the least score of an answer that is learned as it is. `margin`: how much better an answer was rated than
    another to the same conversation, to be preferred. `taken`: questions of evaluations, as `plain` gives them; what
    asks one of these is left out. `units`: whose interactions are evaluations already, and left out too. `held_out`:
    the share of the units, as `split` is told it.
    """
    chosen = Selection()
    usable = list(_usable(interactions, chosen, taken, units))
    made = _pairs(usable, margin, chosen, held_out) if form == "pairs" else _chats(usable, good, chosen)
    rows = [(row, row.conversation, is_held_out(row.unit, held_out)) for row in made]
    rows.sort(key=lambda found: found[0].source)  # which keeps the order of the others
    reserved = {conversation for _, conversation, out in rows if out}
    known: set[str] = set()
    for row, conversation, out in rows:
        if not out and conversation in reserved:
            chosen.left_out["a held-out conversation is the same"] += 1
        elif conversation in known:
            chosen.left_out["asked before"] += 1
        else:
            known.add(conversation)
            chosen.rows.append(row)
    return chosen


def _usable(
    interactions: Iterable[interaction_pb2.Interaction],
    chosen: Selection,
    taken: frozenset[str],
    units: frozenset[str],
) -> Iterator[interaction_pb2.Interaction]:
    for one in interactions:
        chosen.read += 1
        if not one.HasField("rating"):
            chosen.left_out["nobody said anything of it"] += 1
        elif any(message.role not in _ROLES or message.tool_calls for message in one.messages) or one.tool_calls:
            chosen.left_out["it has tools"] += 1
        elif any(plain(message.content) in taken for message in one.messages if message.role == "user"):
            chosen.left_out["an evaluation asks it"] += 1
        elif unit_of(one) in units:
            chosen.left_out["its unit is an evaluation's"] += 1
        else:
            yield one


def _chats(usable: Sequence[interaction_pb2.Interaction], good: float, chosen: Selection) -> Iterator[Row]:
    for one in usable:
        corrected = one.rating.corrected_text.strip()
        if corrected:
            yield _row(one, corrected, Source.CORRECTED)
        elif not one.answer.strip():
            chosen.left_out["it has no answer"] += 1
        elif one.rating.HasField("score") and one.rating.score >= good:
            yield _row(one, one.answer, Source.RATED)
        else:
            chosen.left_out["not rated well, and not corrected"] += 1


def _pairs(
    usable: Sequence[interaction_pb2.Interaction], margin: float, chosen: Selection, held_out: float
) -> Iterator[Row]:
    """A corrected answer against the one that was given; else the best rated answer to a conversation against the
    worst, where several were given, of two variants perhaps. Both are of held-out units, or neither is."""
    asked: dict[tuple[str, bool], list[interaction_pb2.Interaction]] = defaultdict(list)
    for one in usable:
        corrected = one.rating.corrected_text.strip()
        if corrected and corrected != one.answer.strip():
            yield _row(one, corrected, Source.CORRECTED, rejected=one.answer)
        elif one.rating.HasField("score"):
            side = is_held_out(unit_of(one), held_out)
            asked[_row(one, "", Source.PREFERRED).conversation, side].append(one)
        else:
            chosen.left_out["no better answer is known"] += 1
    for answers in asked.values():
        best = max(answers, key=lambda one: one.rating.score)
        worst = min(answers, key=lambda one: one.rating.score)
        if best.rating.score - worst.rating.score >= margin and best.answer != worst.answer and best.answer.strip():
            row = _row(best, best.answer, Source.PREFERRED, rejected=worst.answer)
            yield replace(row, rejected_unit=unit_of(worst))
        else:
            chosen.left_out["no better answer is known"] += len(answers)


def _row(one: interaction_pb2.Interaction, target: str, source: Source, rejected: str | None = None) -> Row:
    return Row(
        messages=tuple(map(_message, one.messages)),
        target=target,
        request_id=one.request_id,
        unit=unit_of(one),
        source=source,
        score=one.rating.score if one.rating.HasField("score") else None,
        rejected=rejected,
        variables=dict(one.variables),
    )


def unit_of(one: interaction_pb2.Interaction) -> str:
    """Whose it is: a request without a unit is one of its own."""
    return one.unit or one.request_id


def _message(message: inference_pb2.Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}
