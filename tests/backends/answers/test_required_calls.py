"""Calls that an answer has to be are read however it is cut into pieces."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from trivet.backends.answers.required_calls import reader_of
from trivet.types.generation import CallDelta
from trivet.types.request import RequiredCalls

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("find", {"text": 'a "quoted" }] \\ \u00e9\U0001f600', "deep": {"list": [{}, [1, 2], "]"], "none": None}}),
    ('odd "name"\n{[', {}),
    ("find", {"a": [[[]]]}),
]


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def cut(text: str, draws: random.Random) -> list[str]:
    places = sorted(draws.randrange(len(text) + 1) for _ in range(draws.randrange(len(text))))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


def read(required: RequiredCalls, pieces: list[str]) -> list[tuple[str, str]]:
    """Names and arguments; the name has to come with the first delta of each."""
    reader, found = reader_of(required), list[list[str]]()
    for piece in pieces:
        for delta in reader.feed(piece):
            assert isinstance(delta, CallDelta)
            if delta.index == len(found):
                assert delta.name
                found.append([delta.name, ""])
            else:
                assert not delta.name
            found[delta.index][1] += delta.arguments
    return [(name, arguments) for name, arguments in found]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_list_of_calls_in_any_pieces(count: int) -> None:
    calls, draws = CALLS[:count], random.Random(count)
    written = compact([{"name": name, "parameters": arguments} for name, arguments in calls])
    for _ in range(300):
        found = read(RequiredCalls({}), cut(written, draws))
        assert found == [(name, compact(arguments)) for name, arguments in calls]
    assert read(RequiredCalls({}), list(written)) == read(RequiredCalls({}), [written])


def test_a_list_that_is_cut_short_has_what_was_written() -> None:
    written = '[{"name":"find","parameters":{"a":1}},{"name":"find","parameters":{"b'
    assert read(RequiredCalls({}), list(written)) == [("find", '{"a":1}'), ("find", '{"b')]
    assert read(RequiredCalls({}), ['[{"name":"fin']) == []


def test_the_arguments_of_one_function() -> None:
    pieces = ["", '{"a"', ":1}"]
    assert read(RequiredCalls({}, "find"), pieces) == [("find", '{"a":1}')]


@pytest.mark.parametrize("text", ["x" * 5000, '[{"name":"find","parameters":7'])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no list of calls|no object"):
        reader_of(RequiredCalls({})).feed(text)
