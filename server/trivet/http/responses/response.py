"""Answers as responses, whole and in events.

Source: https://platform.openai.com/docs/api-reference/responses/object and /responses-streaming.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from trivet.http.chat.response import call_id_of, extension_of
from trivet.http.failure import Failure
from trivet.http.responses.output import CallItem, OutputItem, ReasoningItem, Status, TextItem, logprobs_of
from trivet.http.responses.request import ResponseRequest
from trivet.types.answer import Answer
from trivet.types.generation import CallDelta, FinishReason, TokenLogprob
from trivet.types.receipt import Receipt

_NO_ARGUMENTS = "{}"


class ResponseEvents:
    """One response: as a whole, or as the events of a stream. Calls may be written at one time, all else in turn."""

    def __init__(self, request_id: str, asked: ResponseRequest) -> None:
        self._request_id = request_id
        self._asked = asked
        self._created = int(time.time())
        self._echo: str | None = None  # what a response says of its request: several events do
        self._sequence = 0
        self._items: list[OutputItem] = []  # in the order of their beginning
        self._done: dict[int, Status] = {}  # by their number
        self._speech: int | None = None  # the text or the thoughts that are written
        self._calls: dict[int, int] = {}  # those that are written, by the model's number
        self._logprobs: list[dict[str, Any]] = []  # of what comes next

    def whole(self, answer: Answer) -> bytes:
        """The answer as one JSON object."""
        if answer.reasoning:
            self._add(ReasoningItem(self._id("rs"), [answer.reasoning]))
        if answer.text or not (answer.reasoning or answer.tool_calls):
            self._add(TextItem(self._id("msg"), [answer.text], logprobs_of(answer.logprobs)))
        for number, call in enumerate(answer.tool_calls):
            call_id = call.id or call_id_of(self._request_id, number)
            self._add(CallItem(self._id("fc"), call_id, call.name, [call.arguments]))
        self._done = dict.fromkeys(range(len(self._items)), "completed")
        return self._finished(answer).encode()

    def begin(self) -> bytes:
        """The events before the first item."""
        told = self._response("in_progress")
        return self._event("response.created", response=told) + self._event("response.in_progress", response=told)

    def text(self, text: str, choice: int) -> bytes:
        """Some more text."""
        events, number = self._spoken(TextItem, "msg")
        item = self._items[number]
        assert isinstance(item, TextItem)
        item.pieces.append(text)
        item.logprobs += self._logprobs
        at = self._at(number, content_index=0)
        events.append(self._event("response.output_text.delta", **at, delta=text, logprobs=self._logprobs))
        self._logprobs = []
        return b"".join(events)

    def thought(self, text: str, choice: int) -> bytes:
        """Some more of what the model thinks."""
        events, number = self._spoken(ReasoningItem, "rs")
        self._items[number].pieces.append(text)
        events.append(self._event("response.reasoning_text.delta", **self._at(number, content_index=0), delta=text))
        return b"".join(events)

    def calls(self, deltas: Sequence[CallDelta], choice: int) -> bytes:
        """Some more of what is to be called."""
        return b"".join(event for delta in deltas for event in self._call(delta))

    def logprobs(self, tokens: Sequence[TokenLogprob], choice: int) -> bytes:
        """Nothing yet: they come with the next text."""
        self._logprobs += logprobs_of(tokens)
        return b""

    def end(self, answer: Answer) -> bytes:
        """The events after the last piece."""
        cut: Status = "incomplete" if answer.finish is FinishReason.LENGTH else "completed"
        events: list[bytes] = [] if self._items else self._spoken(TextItem, "msg")[0]
        events += self._close_speech(cut)
        events += self._close_calls(cut)
        kind = "response.incomplete" if cut == "incomplete" else "response.completed"
        return b"".join((*events, self._event(kind, response=self._finished(answer))))

    def failed(self, failure: Failure) -> bytes:
        """The event of an answer that ends in an error after it had begun."""
        told = failure.body["error"]
        error = {"code": _code(failure.status), "message": told["message"], "type": told["type"]}
        more = {"error": error, "output": self._output(), "trivet": told["trivet"]}
        return self._event("response.failed", response=self._response("failed", **more))

    def _spoken(self, kind: type[TextItem] | type[ReasoningItem], prefix: str) -> tuple[list[bytes], int]:
        """The item that some more text or thoughts belong to, and the events that begin it if it is new."""
        if self._speech is not None and isinstance(self._items[self._speech], kind):
            return [], self._speech
        events = [*self._close_speech("completed"), *self._close_calls("completed")]
        item = kind(self._id(prefix))
        number = self._speech = self._add(item)
        shown = item.shown("in_progress")
        events.append(self._event("response.output_item.added", output_index=number, item=shown))
        at = self._at(number, content_index=0)
        events.append(self._event("response.content_part.added", **at, part=item.part("")))
        return events, number

    def _close_speech(self, status: Status) -> Iterator[bytes]:
        if self._speech is None:
            return
        number, self._speech = self._speech, None
        item, at = self._items[number], self._at(number, content_index=0)
        assert not isinstance(item, CallItem)
        if isinstance(item, TextItem):
            item.logprobs += self._logprobs  # of a token that is no text, such as the last one
            self._logprobs = []
            yield self._event("response.output_text.done", **at, text=item.text, logprobs=item.logprobs)
        else:
            yield self._event("response.reasoning_text.done", **at, text=item.text)
        yield self._event("response.content_part.done", **at, part=item.part(item.text))
        yield self._item_done(number, status)

    def _call(self, delta: CallDelta) -> Iterator[bytes]:
        if delta.name:
            yield from self._close_speech("completed")
            call_id = delta.id or call_id_of(self._request_id, delta.index)
            item = CallItem(self._id("fc"), call_id, delta.name)
            number = self._calls[delta.index] = self._add(item)
            shown = item.shown("in_progress")
            yield self._event("response.output_item.added", output_index=number, item=shown)
        if delta.arguments and delta.index in self._calls:
            yield self._arguments(self._calls[delta.index], delta.arguments)

    def _arguments(self, number: int, arguments: str) -> bytes:
        self._items[number].pieces.append(arguments)
        return self._event("response.function_call_arguments.delta", **self._at(number), delta=arguments)

    def _close_calls(self, status: Status) -> Iterator[bytes]:
        """`status` is the last one's; those before it are whole."""
        for number in self._calls.values():
            item = self._items[number]
            assert isinstance(item, CallItem)
            last = number == len(self._items) - 1
            if not item.pieces and not (last and status == "incomplete"):
                yield self._arguments(number, _NO_ARGUMENTS)
            told = {"name": item.name, "arguments": item.text}
            yield self._event("response.function_call_arguments.done", **self._at(number), **told)
            yield self._item_done(number, status if last else "completed")
        self._calls.clear()

    def _item_done(self, number: int, status: Status) -> bytes:
        self._done[number] = status
        item = self._items[number].shown(status)
        return self._event("response.output_item.done", output_index=number, item=item)

    def _add(self, item: OutputItem) -> int:
        self._items.append(item)
        return len(self._items) - 1

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._request_id}_{len(self._items)}"

    def _at(self, number: int, **more: int) -> dict[str, Any]:
        return {"item_id": self._items[number].id, "output_index": number, **more}

    def _output(self) -> list[dict[str, Any]]:
        return [item.shown(self._done.get(number, "incomplete")) for number, item in enumerate(self._items)]

    def _finished(self, answer: Answer) -> str:
        cut = answer.finish is FinishReason.LENGTH
        output = self._output()
        if cut and output:
            output[-1]["status"] = "incomplete"
        return self._response(
            "incomplete" if cut else "completed",
            incomplete_details={"reason": "max_output_tokens"} if cut else None,
            output=output,
            usage=usage_of(answer.receipt),
            trivet=extension_of(answer),
        )

    def _response(self, status: str, **fields: Any) -> str:
        """The response as it is now: JSON."""
        if self._echo is None:
            self._echo = _compact(_echo(self._asked))[1:-1]
        empty: dict[str, Any] = {"error": None, "incomplete_details": None, "output": [], "usage": None}
        head = {"id": f"resp_{self._request_id}", "object": "response", "created_at": self._created, "status": status}
        return f"{_compact({**head, **empty, **fields})[:-1]},{self._echo}}}"

    def _event(self, kind: str, *, response: str = "", **fields: Any) -> bytes:
        told = _compact({"type": kind, "sequence_number": self._sequence, **fields})
        self._sequence += 1
        if response:
            told = f'{told[:-1]},"response":{response}}}'
        return f"event: {kind}\ndata: {told}\n\n".encode()


def usage_of(receipt: Receipt) -> dict[str, Any]:
    """The tokens of a receipt; what is not known counts as 0 here, for the form has no word for unknown."""
    read, written = receipt.input_tokens or 0, receipt.output_tokens or 0
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": receipt.cached_tokens or 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": receipt.reasoning_tokens or 0},
        "total_tokens": read + written,
    }


def _echo(asked: ResponseRequest) -> dict[str, Any]:
    """What a response says of the request that it answers."""
    format_ = None if asked.text is None or asked.text.format is None else asked.text.format
    shown = {"type": "text"} if format_ is None else format_.model_dump(by_alias=True, exclude_none=True)
    choice = {"type": "function", "name": asked.named_tool} if asked.named_tool else asked.tool_choice or "auto"
    effort = None if asked.reasoning is None else asked.reasoning.effort
    return {
        "model": asked.model,
        "instructions": asked.instructions,
        "max_output_tokens": asked.max_output_tokens,
        "metadata": asked.metadata or {},
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": effort, "summary": None},
        "store": False,
        "background": False,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "text": {"format": shown},
        "tool_choice": choice,
        "tools": [tool.model_dump() for tool in asked.tools or ()],
        "top_logprobs": asked.top_logprobs or 0,
        "truncation": "disabled",
        "user": asked.user,
        "safety_identifier": asked.safety_identifier,
    }


def _code(status: int) -> str:
    if status == 429:
        return "rate_limit_exceeded"
    return "server_error" if status >= 500 else "invalid_prompt"


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
