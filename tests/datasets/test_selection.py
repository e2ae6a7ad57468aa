"""What is learned from, what is not, and that nothing of an evaluation or of another unit gets into it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.api.v1 import inference_pb2, interaction_pb2
from trivet.datasets.folder import write_folder
from trivet.datasets.row import Source, plain
from trivet.datasets.selection import Selection, select
from trivet.datasets.split import is_held_out, split
from trivet.errors import FailedPrecondition
from trivet.training.files.chat_files import read_chats, refuse_overlap


def said(number: int, text: str, answer: str = "a", unit: str = "", **rating: object) -> interaction_pb2.Interaction:
    made = interaction_pb2.Interaction(request_id=f"r{number}", unit=unit, answer=answer)
    made.messages.append(inference_pb2.Message(role="user", content=text))
    if rating:
        made.rating.CopyFrom(interaction_pb2.Rating(**rating))  # type: ignore[arg-type]
    return made


def chats(
    *interactions: interaction_pb2.Interaction, taken: frozenset[str] = frozenset(), held_out: float = 0.0
) -> Selection:
    return select(interactions, "chats", good=0.8, margin=0.5, taken=taken, held_out=held_out)


def pairs(*interactions: interaction_pb2.Interaction, held_out: float = 0.0) -> Selection:
    return select(interactions, "pairs", good=0.8, margin=0.5, taken=frozenset(), held_out=held_out)


def test_corrections_come_first_and_what_was_rated_badly_is_not_learned() -> None:
    found = chats(
        said(1, "one", score=0.9),
        said(2, "two", score=0.1),
        said(3, "three", score=0.0, corrected_text=" better "),
        said(4, "four"),
        said(5, "five", label="odd"),
        said(6, "six", answer=" ", score=1.0),
    )
    assert [(row.request_id, row.target, row.source) for row in found.rows] == [
        ("r3", "better", Source.CORRECTED),
        ("r1", "a", Source.RATED),
    ]
    assert found.read == 6
    assert found.left_out == {
        "not rated well, and not corrected": 2, "nobody said anything of it": 1, "it has no answer": 1,
    }  # fmt: skip


def test_each_conversation_is_there_once_however_it_is_written() -> None:
    found = chats(said(1, "What is it?", score=1.0), said(2, "what  is IT", corrected_text="better"))
    assert [row.request_id for row in found.rows] == ["r2"]
    assert found.left_out == {"asked before": 1}


def test_what_an_evaluation_asks_is_never_learned() -> None:
    taken = frozenset({plain("How long is the warranty?")})
    later = said(2, "thanks", score=1.0)
    later.messages.insert(0, inference_pb2.Message(role="assistant", content="2 years"))
    later.messages.insert(0, inference_pb2.Message(role="user", content="HOW LONG is the warranty"))
    found = chats(said(1, "how long is the warranty", score=1.0), later, said(3, "how long", score=1.0), taken=taken)
    assert [row.request_id for row in found.rows] == ["r3"]
    assert found.left_out == {"an evaluation asks it": 2}


def test_conversations_with_tools_are_left_out() -> None:
    asked = said(1, "one", score=1.0)
    asked.tool_calls.append(inference_pb2.ToolCall(name="f"))
    answered = said(2, "two", score=1.0)
    answered.messages.append(inference_pb2.Message(role="tool", content="x"))
    assert chats(asked, answered).left_out == {"it has tools": 2}


def test_a_pair_is_a_correction_or_a_preference_between_two_answers() -> None:
    found = pairs(
        said(1, "one", "bad", score=0.0, corrected_text="good"),
        said(2, "two", "worse", score=0.2),
        said(3, "Two!", "better", score=0.9),
        said(4, "three", "x", score=0.6),
        said(5, "three", "y", score=0.9),
        said(6, "four", "same", score=0.1),
        said(7, "four", "same", score=0.9),
        said(8, "five", "fine", corrected_text="fine"),
    )
    assert [(row.request_id, row.target, row.rejected) for row in found.rows] == [
        ("r1", "good", "bad"),
        ("r3", "better", "worse"),
    ]
    assert found.left_out == {"no better answer is known": 5}


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["u1", "u2", "u3", "u4", ""])), max_size=40),
    st.floats(0, 0.9),
)
def test_no_unit_and_no_conversation_is_on_both_sides_of_a_split(asked: list[tuple[str, str]], share: float) -> None:
    found = chats(*(said(n, text, unit=unit, score=1.0) for n, (text, unit) in enumerate(asked)), held_out=share)
    parts = split(found.rows, share)
    for name in ("unit", "conversation"):
        sides = [{getattr(row, name) for row in side} for side in (parts.training, parts.held_out)]
        assert not sides[0] & sides[1]
    assert len(parts.training) + len(parts.held_out) == len(found.rows)
    out = {text for n, (text, unit) in enumerate(asked) if is_held_out(unit or f"r{n}", share)}
    assert {row.question for row in parts.held_out} == out, "whoever else asked it, and whoever was first"
    assert {row.question for row in parts.training} == {text for text, _ in asked} - out
    more = split([row for row in found.rows if row in parts.held_out], share)
    assert more.held_out == parts.held_out


def test_what_a_held_out_unit_asks_is_held_out_though_another_was_corrected() -> None:
    learner, kept = (next(f"u{n}" for n in range(99) if is_held_out(f"u{n}", 0.3) is out) for out in (False, True))
    found = chats(
        said(1, "One?", unit=learner, corrected_text="better"), said(2, "one", unit=kept, score=1.0), held_out=0.3
    )
    assert [row.request_id for row in found.rows] == ["r2"]
    assert found.left_out == {"a held-out conversation is the same": 1}


def test_both_answers_of_a_pair_are_on_one_side() -> None:
    learner, kept = (next(f"u{n}" for n in range(99) if is_held_out(f"u{n}", 0.3) is out) for out in (False, True))
    across = [said(1, "one", "good", learner, score=1.0), said(2, "one", "bad", kept, score=0.0)]
    assert len(pairs(*across).rows) == 1, "nothing is held out"
    assert pairs(*across).rows[0].rejected_unit == kept
    assert pairs(*across, held_out=0.3).left_out == {"no better answer is known": 2}
    [row] = pairs(*across, said(3, "one", "best", kept, score=0.9), held_out=0.3).rows
    assert (row.request_id, row.rejected, row.unit, row.rejected_unit) == ("r3", "bad", kept, kept)


def test_about_the_share_of_units_is_held_out() -> None:
    rows = chats(*(said(n, f"question {n}", unit=f"u{n}", score=1.0) for n in range(2000))).rows
    assert 0.07 < len(split(rows, 0.1).held_out) / 2000 < 0.13
    assert split(rows, 0.0).held_out == ()


def test_training_reads_what_is_written_and_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    rows = chats(*(said(n, f"question {n}", unit=f"u{n}", score=1.0) for n in range(40))).rows
    parts = split(rows, 0.3)
    lines = {"train.jsonl": parts.training, "held-out.jsonl": parts.held_out}
    made = write_folder(tmp_path / "out", {name: (row.as_chat() for row in side) for name, side in lines.items()}, {})
    training, held_out = (read_chats([tmp_path / "out" / name]) for name in lines)
    refuse_overlap(training.chats, held_out.chats)
    assert made["files"]["train.jsonl"] == {"lines": len(training), "sha256": training.digest}
    assert json.loads((tmp_path / "out" / "export.json").read_text()) == made
    with pytest.raises(FailedPrecondition, match="is there already"):
        write_folder(tmp_path / "out", {}, {})

    def broken() -> object:
        yield {"a": 1}
        raise ValueError("the server went away")

    with pytest.raises(ValueError, match="went away"):
        write_folder(tmp_path / "new", {"x": broken()}, {})  # type: ignore[dict-item]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
