"""Answers out of bytes: text, counts and ends, whatever the bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.engine.scripted_endpoint import DONE, event, said
from trivet.backends.openai.answer import Answer
from trivet.backends.openai.event_lines import MAX_LINE, EventLines, LineTooLong
from trivet.backends.openai.failures import failure_of_status, retry_after
from trivet.errors import BackendUnavailable, GenerationFailed, InvalidRequest, Overloaded, PromptTooLong
from trivet.types.generation import Chunk, FinishReason

USAGE = {"prompt_tokens": 11, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 8}}


def read(*pieces: bytes, exact: bool = False) -> list[Chunk]:
    answer = Answer(10, exact, 100)
    chunks = [chunk for piece in pieces for chunk in answer.feed(piece, 1.0)]
    return [*chunks, answer.end(2.0)] if answer.finished else chunks


def completion(text: str, tokens: int | None = None, finish: str | None = None) -> bytes:
    usage: dict[str, Any] = {} if tokens is None else {"usage": {"prompt_tokens": 10, "completion_tokens": tokens}}
    return event(choices=[{"index": 0, "text": text, "finish_reason": finish}], **usage)


@given(st.binary(max_size=200), st.integers(1, 60))
def test_lines_are_the_same_however_the_bytes_come(data: bytes, size: int) -> None:
    whole = EventLines().feed(data)
    lines = EventLines()
    pieces = [line for at in range(0, len(data), size) for line in lines.feed(data[at : at + size])]
    assert pieces == whole


def test_torn_events_say_the_same() -> None:
    stream = said("é") + b": ping\n\n" + said("\U0001f600", "stop") + event(choices=[], usage=USAGE) + DONE
    (last,) = [chunk for chunk in read(stream) if chunk.finish]
    assert (last.finish, last.input_tokens, last.cached_tokens, last.answer_tokens) == (FinishReason.STOP, 11, 8, 3)
    assert not last.estimated
    torn = read(*(stream[at : at + 1] for at in range(len(stream))))
    assert "".join(chunk.text for chunk in torn) == "é\U0001f600"
    assert torn[-1] == last


def test_the_first_piece_comes_alone_with_the_prompts_count() -> None:
    first, rest, _ = read(said("a") + said("b") + said("c", "length"))
    assert (first.text, first.tokens, first.input_tokens, first.estimated) == ("a", 1, 10, True)
    assert (rest.text, rest.tokens, rest.input_tokens) == ("bc", 2, None)


def test_counts_that_come_with_each_piece_are_exact() -> None:
    chunks = read(completion("ab", 2) + completion("", 3) + completion("c", 5, "stop"), exact=True)
    assert [chunk.tokens for chunk in chunks] == [2, 3, 0]
    assert not any(chunk.estimated for chunk in chunks)
    assert chunks[-1].input_tokens == 10
    assert chunks[-1].answer_tokens == 5


def test_without_usage_the_counts_are_estimates_and_say_so() -> None:
    last = read(said("a") + said("b", "stop") + DONE)[-1]
    assert (last.input_tokens, last.cached_tokens, last.answer_tokens, last.estimated) == (10, None, None, True)


def test_thoughts_are_apart() -> None:
    stream = event(choices=[{"delta": {"reasoning_content": "hm", "content": None}}]) + said("yes", "stop")
    first, rest, _ = read(stream)
    assert (first.reasoning, first.text, rest.text) == ("hm", "", "yes")


@pytest.mark.parametrize(
    "usage",
    [{"completion_tokens": -1}, {"completion_tokens": True}, {"completion_tokens": 1 << 40}, {"prompt_tokens": "5"}, 7],
)
def test_counts_that_cannot_be_are_none(usage: Any) -> None:
    last = read(said("a", "stop") + event(choices=[], usage=usage) + DONE)[-1]
    assert (last.answer_tokens, last.input_tokens) == (None, 10)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b"7",
        b'{"choices": 7}',
        b'{"choices": [3]}',
        b'{"choices": [{"delta": {"content": 7}}]}',
        b"[" * 9000,
    ],
)
def test_what_is_no_event_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        read(b"data: " + data + b"\n")


def test_a_giant_line_and_a_giant_answer_are_refused() -> None:
    lines = EventLines()
    with pytest.raises(LineTooLong):
        for _ in range(MAX_LINE // 1000 + 1):
            lines.feed(b"x" * 1000)
    with pytest.raises(LineTooLong):
        EventLines().feed(b"data: " + b"x" * MAX_LINE + b"\n")
    answer = Answer(1, True, 1)
    with pytest.raises(GenerationFailed, match="more than it was asked for"):
        for _ in range(4):
            answer.feed(said("x" * 20_000), 0.0)


def test_half_a_surrogate_pair_goes_no_further() -> None:
    (chunk,) = read(b'data: {"choices": [{"delta": {"content": "a\\ud800"}}]}\n')
    assert chunk.text == "a?"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 400, "message": "no such grammar"}, InvalidRequest),
        ({"code": "context_length_exceeded", "message": "x"}, PromptTooLong),
        ({"code": 500, "message": "EngineDeadError"}, GenerationFailed),
        ("broken", GenerationFailed),
    ],
)
def test_errors_in_the_stream(error: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        read(event(error=error))


def test_other_ends_are_failures() -> None:
    with pytest.raises(GenerationFailed, match="content_filter"):
        read(said("a", "content_filter"))


@pytest.mark.parametrize(
    ("code", "body", "kind", "shown"),
    [
        (400, {"error": {"message": "bad stop"}}, InvalidRequest, "bad stop"),
        (400, {"error": {"code": "context_length_exceeded", "message": "8193 tokens"}}, PromptTooLong, "8193"),
        (400, {"message": "This model's maximum context length is 64"}, PromptTooLong, "64"),
        (401, {"error": {"message": "Incorrect API key sk-abc"}}, BackendUnavailable, "does not accept"),
        (404, {}, BackendUnavailable, "does not know"),
        (429, {}, Overloaded, "too many"),
        (500, {"error": {"message": "trace"}}, BackendUnavailable, "500"),
        (302, {}, BackendUnavailable, "302"),
    ],
)
def test_statuses(code: int, body: Any, kind: type[Exception], shown: str) -> None:
    failure = failure_of_status(code, json.dumps(body).encode(), {"retry-after": "7"}, "api")
    assert isinstance(failure, kind)
    assert shown in str(failure)
    assert "sk-abc" not in str(failure)
    assert "trace" not in str(failure)
    if code in (429, 500):
        assert getattr(failure, "retry_after", None) == 7


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3),
        ("-1", 0),
        ("1e9", 3600),
        ("nan", None),
        ("soon", None),
        (None, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value) == seconds
