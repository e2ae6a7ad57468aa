"""Answers as chat completions, whole and in pieces. Source: https://platform.openai.com/docs/api-reference/chat"""

from __future__ import annotations

import json
import time
from typing import Any

from google.protobuf.json_format import MessageToDict

from trivet.rpc.wire import citation_to_proto, receipt_to_proto
from trivet.types.answer import Answer
from trivet.types.generation import FinishReason
from trivet.types.receipt import Receipt

DONE = b"data: [DONE]\n\n"
_FINISH = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length"}


class Completion:
    """What all parts of one completion have in common."""

    def __init__(self, request_id: str, model: str) -> None:
        self._common = {"id": f"chatcmpl-{request_id}", "created": int(time.time()), "model": model}
        head = self._compact({**self._common, "object": "chat.completion.chunk"})
        # Everything but the text is the same in all pieces, and there may be one for each token.
        self._before = f'data: {head[:-1]},"choices":[{{"index":0,"delta":{{"content":'.encode()
        self._after = b'},"logprobs":null,"finish_reason":null}]}\n\n'

    def whole(self, answer: Answer) -> bytes:
        """The answer as one JSON object."""
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []}
        if answer.reasoning:
            message["reasoning"] = message["reasoning_content"] = answer.reasoning
        if answer.tool_calls:
            message["content"] = answer.text or None
            message["tool_calls"] = _calls(answer)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
        return self._compact(
            {
                **self._common,
                "object": "chat.completion",
                "choices": [choice],
                "usage": usage_of(answer.receipt),
                "trivet": extension_of(answer),
            }
        ).encode()

    def begin(self) -> bytes:
        """The event before the first piece of text."""
        return self._event([_delta({"role": "assistant", "content": "", "refusal": None})])

    def piece(self, text: str) -> bytes:
        """The event of some more text."""
        return b"".join((self._before, json.dumps(text, ensure_ascii=False).encode(), self._after))

    def thought(self, text: str) -> bytes:
        """The event of some more of what the model thinks, by the names that servers and clients have for it."""
        return self._event([_delta({"reasoning": text, "reasoning_content": text})])

    def end(self, answer: Answer, with_usage: bool) -> bytes:
        """The events after the last piece of text."""
        calls = [{"index": position, **call} for position, call in enumerate(_calls(answer))]
        asked = self._event([_delta({"tool_calls": calls})]) if calls else b""
        last = asked + self._event([_delta({}, _finish(answer))], trivet=extension_of(answer))
        usage = self._event([], usage=usage_of(answer.receipt)) if with_usage else b""
        return last + usage + DONE

    def failed(self, body: dict[str, Any]) -> bytes:
        """The events of an answer that ends in an error after it had begun."""
        return b"data: " + self._compact(body).encode() + b"\n\n" + DONE

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


def extension_of(answer: Answer) -> dict[str, Any]:
    """What OpenAI's form has no place for: the receipt and the citations, as in the contract."""
    receipt = MessageToDict(receipt_to_proto(answer.receipt), preserving_proto_field_name=True)
    citations = [
        MessageToDict(citation_to_proto(passage), preserving_proto_field_name=True) for passage in answer.passages
    ]
    return {"receipt": receipt, "citations": citations, "degraded": list(answer.receipt.degraded)}


def _delta(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _calls(answer: Answer) -> list[dict[str, Any]]:
    """What the answer asks to have called. A call without an id gets one, for clients answer by it."""
    return [
        {
            "id": call.id or f"call-{answer.receipt.request_id}-{position}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for position, call in enumerate(answer.tool_calls)
    ]


def _finish(answer: Answer) -> str:
    if answer.tool_calls and answer.finish is FinishReason.STOP:
        return "tool_calls"
    return _FINISH.get(answer.finish, "stop")
