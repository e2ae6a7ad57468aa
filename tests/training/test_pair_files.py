"""Files of pairs are checked whole; each problem is told by file, line and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.engine.training_base import write_lines
from trivet.errors import ConfigError
from trivet.training.files.chat_files import refuse_overlap
from trivet.training.files.pair_files import read_pairs

USER = {"role": "user", "content": "a?"}
GOOD, BAD = ({"role": "assistant", "content": text} for text in ("b", "c"))
PAIR = {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}


def test_pairs_are_read_and_none_may_be_on_both_sides(tmp_path: Path) -> None:
    found = read_pairs([write_lines(tmp_path / "a.jsonl", [PAIR, {**PAIR, "weight": 3}])])
    assert [(pair.line, pair.weight, pair.chosen, pair.rejected) for pair in found.pairs] == [
        (1, 1, [GOOD], [BAD]),
        (2, 3, [GOOD], [BAD]),
    ]
    with pytest.raises(ConfigError, match=r"a.jsonl:1: messages: is in the training data too, at .*a.jsonl:2"):
        refuse_overlap(found.pairs, found.pairs)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ([], "(line): is a list, expected an object with prompt, chosen, rejected"),
        ({**PAIR, "id": 1}, "id: unknown field, expected only prompt, chosen, rejected or weight"),
        ({"prompt": [USER], "chosen": [GOOD]}, "rejected: expected a list of messages, at least one"),
        ({**PAIR, "prompt": [USER, GOOD]}, "prompt[1].role: a prompt ends with a user message"),
        ({**PAIR, "chosen": [USER]}, "chosen: expected one message of the assistant"),
        ({**PAIR, "chosen": [GOOD, GOOD]}, "chosen: expected one message of the assistant"),
        ({**PAIR, "rejected": [{**BAD, "content": ""}]}, "rejected[0].content: is '', expected text"),
        ({**PAIR, "rejected": [GOOD]}, "rejected: is the chosen answer"),
        ({**PAIR, "weight": 101}, "weight: is 101, expected a whole number from 1 to 100"),
    ],
)
def test_a_pair_in_another_form_is_told_by_its_field(tmp_path: Path, line: Any, problem: str) -> None:
    path = write_lines(tmp_path / "pairs.jsonl", [PAIR, line])
    with pytest.raises(ConfigError) as refused:
        read_pairs([path])
    assert f"{path}:2: {problem}" in str(refused.value)
