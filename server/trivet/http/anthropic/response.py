"""Answers as Anthropic's messages, whole and in events.

Source: https://docs.anthropic.com/en/api/messages and /messages-streaming.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from trivet.http.chat.response import call_id_of, extension_of
from trivet.http.failure import Failure
from trivet.types.answer import Answer
from trivet.types.generation import CallDelta, FinishReason, TokenLogprob
from trivet.types.receipt import Receipt

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class MessageEvents:
    """One message: as a whole, or as the events of a stream, one block of its content after the other."""

    def __init__(self, request_id: str, model: str) -> None:
        self._request_id = request_id
        self._message = {"id": f"msg_{request_id}", "type": "message", "role": "assistant", "model": model}
        self._index = -1
        self._open: str | int = ""  # the kind of the block that is under way, or the number of its call

    def whole(self, answer: Answer) -> bytes:
        """The answer as one JSON object."""
        content: list[dict[str, Any]] = []
        if answer.reasoning:
            content.append({"type": "thinking", "thinking": answer.reasoning, "signature": ""})
        if answer.text or not (content or answer.tool_calls):
            content.append({"type": "text", "text": answer.text})
        for number, call in enumerate(answer.tool_calls):
            name = call.id or call_id_of(self._request_id, number)
            content.append({"type": "tool_use", "id": name, "name": call.name, "input": _input(call.arguments)})
        told: dict[str, Any] = {**self._message, "content": content, **_stop(answer), "usage": usage_of(answer.receipt)}
        return _json({**told, "trivet": extension_of(answer)}).encode()

    def begin(self) -> bytes:
        """The event before the first block; how many tokens the prompt has is told at the end."""
        usage = {"input_tokens": 0, "output_tokens": 0}
        told: dict[str, Any] = {
            **self._message,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        return _event("message_start", message=told)

    def text(self, text: str, choice: int) -> bytes:
        """Some more text."""
        return self._piece("text", {"type": "text", "text": ""}, {"type": "text_delta", "text": text})

    def thought(self, text: str, choice: int) -> bytes:
        """Some more of what the model thinks."""
        block = {"type": "thinking", "thinking": "", "signature": ""}
        return self._piece("thinking", block, {"type": "thinking_delta", "thinking": text})

    def calls(self, deltas: Sequence[CallDelta], choice: int) -> bytes:
        """Some more of what is to be called."""
        return b"".join(self._call(delta) for delta in deltas)

    def logprobs(self, tokens: Sequence[TokenLogprob], choice: int) -> bytes:
        """Nothing: a message has no place for them, and nobody can ask."""
        return b""

    def end(self, answer: Answer) -> bytes:
        """The events after the last piece."""
        last = _event("message_delta", delta=_stop(answer), usage=usage_of(answer.receipt), trivet=extension_of(answer))
        return b"".join((*self._close(), last, _event("message_stop")))

    @staticmethod
    def failed(failure: Failure) -> bytes:
        """The event of an answer that ends in an error after it had begun."""
        return _event("error", **{name: value for name, value in error_of(failure).items() if name != "type"})

    def _call(self, delta: CallDelta) -> bytes:
        if not delta.name and self._open != delta.index:
            return b""  # what a call without arguments has for them is told last, and an empty block says the same
        name = delta.id or call_id_of(self._request_id, delta.index)
        block = {"type": "tool_use", "id": name, "name": delta.name, "input": {}}
        return self._piece(delta.index, block, {"type": "input_json_delta", "partial_json": delta.arguments})

    def _piece(self, kind: str | int, block: dict[str, Any], delta: dict[str, Any]) -> bytes:
        events: list[bytes] = []
        if self._open != kind:
            events += self._close()
            self._index += 1
            self._open = kind
            events.append(_event("content_block_start", index=self._index, content_block=block))
        events.append(_event("content_block_delta", index=self._index, delta=delta))
        return b"".join(events)

    def _close(self) -> Iterator[bytes]:
        if self._open != "":
            yield _event("content_block_stop", index=self._index)
        self._open = ""


def usage_of(receipt: Receipt) -> dict[str, int]:
    """The tokens of a receipt. Anthropic counts those of the prompt that were cached apart from the others."""
    cached = receipt.cached_tokens or 0
    return {
        "input_tokens": max((receipt.input_tokens or 0) - cached, 0),
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": receipt.output_tokens or 0,
    }


def error_of(failure: Failure) -> dict[str, Any]:
    """An error in Anthropic's form; what OpenAI's has beside it is in `error` as well."""
    told = failure.body["error"]
    kind = _TYPES.get(failure.status)
    if kind is None:
        kind = "overloaded_error" if failure.status == 503 else "api_error"
        kind = "invalid_request_error" if failure.status < 500 else kind
    return {"type": "error", "error": {**told, "type": kind}, "request_id": told["trivet"]["request_id"]}


def _stop(answer: Answer) -> dict[str, Any]:
    reason = "max_tokens" if answer.finish is FinishReason.LENGTH else "end_turn"
    if answer.tool_calls and answer.finish is FinishReason.STOP:
        reason = "tool_use"
    return {"stop_reason": reason, "stop_sequence": None}


def _input(arguments: str) -> Any:
    """A call that was cut short has none that could be read."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _event(name: str, **fields: Any) -> bytes:
    return f"event: {name}\ndata: {_json({'type': name, **fields})}\n\n".encode()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
