"""Files of chats are checked whole; each problem is told by file, line and field."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine.training_base import asked, sums, write_lines
from trivet.errors import ConfigError
from trivet.training.files.chat_files import read_chats, refuse_overlap

USER = {"role": "user", "content": "a?"}
ASSISTANT = {"role": "assistant", "content": "b"}


def test_chats_keep_their_order_and_the_digest_is_of_the_bytes(tmp_path: Path) -> None:
    first = write_lines(tmp_path / "a.jsonl", sums(range(3)))
    second = write_lines(tmp_path / "b.jsonl", sums(range(9, 11)))
    found = read_chats([first, second])
    assert [(located.path, located.line) for located in found.chats] == [(first, n) for n in (1, 2, 3)] + [
        (second, n) for n in (1, 2)
    ]
    assert found.digest == hashlib.sha256(first.read_bytes() + second.read_bytes()).hexdigest()
    assert read_chats([second, first]).digest != found.digest


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"messages": [USER, ASSISTANT], "id": 3}, "id: unknown field, expected only messages, weight or document"),
        ({"messages": [USER, ASSISTANT], "weight": 0}, "weight: is 0, expected a whole number from 1 to 100"),
        ({"messages": [USER, ASSISTANT], "weight": True}, "weight: is True, expected a whole number"),
        ({"messages": [USER, ASSISTANT], "document": []}, "document: is [], expected a document's id, or a list"),
        ({"message": []}, "messages: expected a list of messages, at least one"),
        ([1], "(line): is a list, expected an object with messages"),
        ({"messages": ["hi"]}, "messages[0]: is a str, expected an object"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "messages[0].role: is 'bot', expected system, user"),
        ({"messages": [USER, {"role": "assistant"}]}, "messages[1].content: is None, expected text"),
        ({"messages": [USER, {**ASSISTANT, "content": ""}]}, "messages[1].content: is '', expected text"),
        ({"messages": [USER, {**ASSISTANT, "lerned": True}]}, "messages[1].lerned: unknown field"),
        ({"messages": [USER, {**ASSISTANT, "learned": 1}]}, "messages[1].learned: is 1, expected true or false"),
        ({"messages": [{**USER, "learned": True}, ASSISTANT]}, "messages[0].learned: only messages of the assistant"),
        ({"messages": [USER, ASSISTANT, USER]}, "messages[2].role: a chat ends with an assistant message"),
        ({"messages": [USER, {**ASSISTANT, "learned": False}]}, "messages: no message is learned"),
    ],
)
def test_a_chat_in_another_form_is_told_by_its_field(tmp_path: Path, line: Any, problem: str) -> None:
    path = write_lines(tmp_path / "chats.jsonl", [asked("a?", "b"), line])
    with pytest.raises(ConfigError) as refused:
        read_chats([path])
    assert f"{path}:2: {problem}" in str(refused.value)


def test_a_half_written_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text(json.dumps(asked("a?", "b")) + "\n" + json.dumps(asked("c?", "d"))[:-7])
    with pytest.raises(ConfigError, match=r"chats.jsonl:2: \(line\): is not sound JSON"):
        read_chats([path])


def test_missing_and_empty_files_and_a_flood_of_problems(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ConfigError) as refused:
        read_chats([tmp_path / "none.jsonl", tmp_path / "empty.jsonl"])
    assert "none.jsonl:1: cannot be read: No such file" in refused.value.problems[0]
    assert "empty.jsonl:1: has no chat" in refused.value.problems[1]
    flood = write_lines(tmp_path / "flood.jsonl", [{"id": n} for n in range(100)])
    with pytest.raises(ConfigError) as refused:
        read_chats([flood])
    assert (len(refused.value.problems), refused.value.problems[-1]) == (21, "and 180 more")


def test_a_held_out_chat_that_was_trained_on_is_refused(tmp_path: Path) -> None:
    training = read_chats([write_lines(tmp_path / "a.jsonl", sums(range(5)))])
    apart = read_chats([write_lines(tmp_path / "b.jsonl", sums(range(5, 8)))])
    refuse_overlap(training.chats, apart.chats)
    mixed = read_chats([write_lines(tmp_path / "c.jsonl", [*sums([7]), asked("3 and one?", "something else")])])
    with pytest.raises(ConfigError, match=r"c.jsonl:2: messages: is in the training data too, at .*a.jsonl:4"):
        refuse_overlap(training.chats, mixed.chats)
