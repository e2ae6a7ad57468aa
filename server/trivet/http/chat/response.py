"""Answers as chat completions, whole and in pieces. Source: https://platform.openai.com/docs/api-reference/chat"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict

from trivet.http.failure import Failure
from trivet.rpc.wire import citation_to_proto, receipt_to_proto
from trivet.types.answer import Answer, Choice
from trivet.types.generation import CallDelta, FinishReason, Logprob, TokenLogprob
from trivet.types.receipt import Receipt

DONE = b"data: [DONE]\n\n"
_FINISH = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length"}


class Completion:
    """What all parts of one completion have in common."""

    def __init__(self, request_id: str, model: str, with_usage: bool, choices: int = 1) -> None:
        """`with_usage`: a stream ends with what it used; `choices`: how many answers."""
        self._with_usage = with_usage
        self._choices = range(choices)
        self._request_id = request_id
        self._common = {"id": f"chatcmpl-{request_id}", "created": int(time.time()), "model": model}
        head = self._compact({**self._common, "object": "chat.completion.chunk"})
        # Everything but the text is the same in all pieces, and there may be one for each token.
        self._before = [
            f'data: {head[:-1]},"choices":[{{"index":{index},"delta":{{"content":'.encode() for index in self._choices
        ]
        self._after = b'},"logprobs":null,"finish_reason":null}]}\n\n'

    def whole(self, answer: Answer) -> bytes:
        """The answer as one JSON object."""
        return self._compact(
            {
                **self._common,
                "object": "chat.completion",
                "choices": [self._choice(index, choice) for index, choice in enumerate(answer.choices)],
                "usage": usage_of(answer.receipt),
                "trivet": extension_of(answer),
            }
        ).encode()

    def begin(self) -> bytes:
        """The event before the first piece of text."""
        first = {"role": "assistant", "content": "", "refusal": None}
        return b"".join(self._event([_delta(first, index)]) for index in self._choices)

    def text(self, text: str, choice: int) -> bytes:
        """The event of some more text."""
        return b"".join((self._before[choice], json.dumps(text, ensure_ascii=False).encode(), self._after))

    def thought(self, text: str, choice: int) -> bytes:
        """The event of some more of what the model thinks, by the names that servers and clients have for it."""
        return self._event([_delta({"reasoning": text, "reasoning_content": text}, choice)])

    def logprobs(self, tokens: Sequence[TokenLogprob], choice: int) -> bytes:
        """The event of what the tokens of the next pieces have."""
        return self._event([{**_delta({"content": ""}, choice), "logprobs": _logprobs(tokens)}])

    def calls(self, deltas: Sequence[CallDelta], choice: int) -> bytes:
        """The events of some more of what is to be called: a piece each, for clients look at an event's first one."""
        called = ({"tool_calls": [self._call(delta, choice)]} for delta in deltas)
        return b"".join(self._event([_delta(one, choice)]) for one in called)

    def end(self, answer: Answer) -> bytes:
        """The events after the last piece of the answer."""
        *ends, last = [_delta({}, index, _finish(choice)) for index, choice in enumerate(answer.choices)]
        events = [self._event([end]) for end in ends]
        events.append(self._event([last], trivet=extension_of(answer)))
        if self._with_usage:
            events.append(self._event([], usage=usage_of(answer.receipt)))
        return b"".join([*events, DONE])

    def failed(self, failure: Failure) -> bytes:
        """The events of an answer that ends in an error after it had begun."""
        return b"data: " + self._compact(failure.body).encode() + b"\n\n" + DONE

    def _choice(self, index: int, choice: Choice) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None, "annotations": []}
        if choice.reasoning:
            message["reasoning"] = message["reasoning_content"] = choice.reasoning
        if choice.tool_calls:
            message["content"] = choice.text or None
            message["tool_calls"] = self._calls(index, choice)
        logprobs = _logprobs(choice.logprobs) if choice.logprobs else None
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": _finish(choice)}

    def _calls(self, index: int, choice: Choice) -> list[dict[str, Any]]:
        """What an answer asks to have called. A call without an id gets one, for clients answer by it."""
        return [
            {
                "id": call.id or call_id_of(self._request_id, position, index),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for position, call in enumerate(choice.tool_calls)
        ]

    def _call(self, delta: CallDelta, choice: int) -> dict[str, Any]:
        if not delta.name:
            return {"index": delta.index, "function": {"arguments": delta.arguments}}
        function = {"name": delta.name, "arguments": delta.arguments}
        call_id = delta.id or call_id_of(self._request_id, delta.index, choice)
        return {"index": delta.index, "id": call_id, "type": "function", "function": function}

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        chunk = {**self._common, "object": "chat.completion.chunk", "choices": choices, **more}
        return b"data: " + self._compact(chunk).encode() + b"\n\n"

    @staticmethod
    def _compact(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def usage_of(receipt: Receipt) -> dict[str, Any]:
    """The tokens of a receipt; what is not known counts as 0 here, for the form has no word for unknown."""
    prompt, completion = receipt.input_tokens or 0, receipt.output_tokens or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": receipt.cached_tokens or 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": receipt.reasoning_tokens or 0, "audio_tokens": 0},
    }


def sum_of(usages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of several requests."""
    first, *others = usages
    return {
        name: sum_of([value, *(other[name] for other in others)])
        if isinstance(value, dict)
        else value + sum(other[name] for other in others)
        for name, value in first.items()
    }


def extension_of(answer: Answer) -> dict[str, Any]:
    """What OpenAI's form has no place for: the receipt and the citations, as in the contract."""
    receipt = MessageToDict(receipt_to_proto(answer.receipt), preserving_proto_field_name=True)
    citations = [
        MessageToDict(citation_to_proto(passage), preserving_proto_field_name=True) for passage in answer.passages
    ]
    return {"receipt": receipt, "citations": citations, "degraded": list(answer.receipt.degraded)}


def _delta(delta: dict[str, Any], index: int, finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def call_id_of(request_id: str, position: int, choice: int = 0) -> str:
    """The id of a call to which the model gave none."""
    return f"call-{request_id}-{choice}-{position}" if choice else f"call-{request_id}-{position}"


def _logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    content = [{**_logprob(token.written), "top_logprobs": [_logprob(one) for one in token.top]} for token in tokens]
    return {"content": content, "refusal": None}


def _logprob(found: Logprob) -> dict[str, Any]:
    """A part of a character has no text of its own, and its bytes are not known."""
    known = None if "\ufffd" in found.token else list(found.token.encode())
    return {"token": found.token, "logprob": found.logprob, "bytes": known}


def _finish(choice: Choice) -> str:
    if choice.tool_calls and choice.finish is FinishReason.STOP:
        return "tool_calls"
    return _FINISH.get(choice.finish, "stop")
