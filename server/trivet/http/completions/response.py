"""Continued texts, whole and in pieces. Source: https://platform.openai.com/docs/api-reference/completions/object"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from trivet.http.chat.response import DONE, extension_of, sum_of, usage_of
from trivet.http.failure import Failure
from trivet.types.answer import Answer, Choice
from trivet.types.generation import CallDelta, FinishReason, TokenLogprob


class Continuations:
    """What all parts of one response have in common. A choice's number is its text's times `each`, and its own."""

    def __init__(self, request_id: str, model: str, each: int) -> None:
        """`each`: how many answers each text has."""
        self._common = {
            "id": f"cmpl-{request_id}", "object": "text_completion", "created": int(time.time()), "model": model,
        }  # fmt: skip
        self._each = each
        self._offsets: Counter[int] = Counter()  # characters of each choice's tokens so far

    def whole(self, answers: Sequence[Answer]) -> bytes:
        """All of them as one JSON object."""
        choices = [
            self._choice(text * self._each + number, choice.text, choice, choice.logprobs)
            for text, answer in enumerate(answers)
            for number, choice in enumerate(answer.choices)
        ]
        usage = sum_of([usage_of(answer.receipt) for answer in answers])
        return _compact({**self._common, "choices": choices, "usage": usage, "trivet": _extension(answers)}).encode()

    def part(self, text: int) -> Part:
        """The pieces of the answers to text number `text`."""
        return Part(self, text * self._each)

    def piece(self, index: int, text: str, thought: str = "", logprobs: Sequence[TokenLogprob] = ()) -> bytes:
        """The event of some more of choice `index`."""
        return self._event([self._choice(index, text, None, logprobs, thought)])

    def end(self, answers: Sequence[Answer], with_usage: bool) -> bytes:
        """The events after the last piece."""
        ends = [
            self._choice(text * self._each + number, "", choice, (), "")
            for text, answer in enumerate(answers)
            for number, choice in enumerate(answer.choices)
        ]
        events = [self._event([end]) for end in ends[:-1]]
        events.append(self._event(ends[-1:], trivet=_extension(answers)))
        if with_usage:
            events.append(self._event([], usage=sum_of([usage_of(answer.receipt) for answer in answers])))
        return b"".join([*events, DONE])

    @staticmethod
    def failed(failure: Failure) -> bytes:
        """The events of a response that ends in an error after it had begun."""
        return b"data: " + _compact(failure.body).encode() + b"\n\n" + DONE

    def _choice(
        self, index: int, text: str, ended: Choice | None, logprobs: Sequence[TokenLogprob], thought: str | None = None
    ) -> dict[str, Any]:
        """`ended`: the whole of it, at its end. `thought`: a piece of what it thought, None for all of that."""
        found: dict[str, Any] = {
            "index": index,
            "text": text,
            "logprobs": self._logprobs(index, logprobs) if logprobs else None,
            "finish_reason": None if ended is None else "length" if ended.finish is FinishReason.LENGTH else "stop",
        }
        if thought is None and ended is not None:
            thought = ended.reasoning
        return {**found, "reasoning": thought} if thought else found

    def _logprobs(self, index: int, tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
        """In the legacy form: lists beside each other. The written token is among the likely ones, as OpenAI has it."""
        offsets = []
        for token in tokens:
            offsets.append(self._offsets[index])
            self._offsets[index] += len(token.written.token)
        return {
            "tokens": [token.written.token for token in tokens],
            "token_logprobs": [token.written.logprob for token in tokens],
            "top_logprobs": [{one.token: one.logprob for one in (*token.top, token.written)} for token in tokens],
            "text_offset": offsets,
        }

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return b"data: " + _compact({**self._common, "choices": choices, **more}).encode() + b"\n\n"


class Part:
    """The pieces of the answers to one text, in the form that `EventSink` writes them."""

    def __init__(self, whole: Continuations, first: int) -> None:
        """`first`: the number of its first choice."""
        self._whole = whole
        self._first = first

    def text(self, text: str, choice: int) -> bytes:
        """Some more text."""
        return self._whole.piece(self._first + choice, text)

    def thought(self, text: str, choice: int) -> bytes:
        """Some more of what the model thinks, where the backend has a parser for it."""
        return self._whole.piece(self._first + choice, "", text)

    def logprobs(self, tokens: Sequence[TokenLogprob], choice: int) -> bytes:
        """Of the tokens of the next pieces."""
        return self._whole.piece(self._first + choice, "", logprobs=tokens)

    def calls(self, deltas: Sequence[CallDelta], choice: int) -> bytes:
        """None: there are no tools."""
        return b""


def _extension(answers: Sequence[Answer]) -> dict[str, Any]:
    """That of the first text's answer, and of the others in their order."""
    first, *others = map(extension_of, answers)
    return {**first, "others": others} if others else first


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
