"""The forms of the HTTP door's answers, as JSON schemas for its OpenAPI description.

Source: https://platform.openai.com/docs/api-reference/chat/object and /models/object. `trivet` is our extension.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REF = "#/components/schemas/"
TEXT: Mapping[str, Any] = {"type": "string"}
COUNT: Mapping[str, Any] = {"type": "integer", "minimum": 0}
TEXT_OR_NULL: Mapping[str, Any] = {"type": ["string", "null"]}


def object_of(required: Mapping[str, Any], **optional: Any) -> dict[str, Any]:
    """An object with these properties, and any others."""
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


def list_of(items: Mapping[str, Any]) -> dict[str, Any]:
    """A list of these."""
    return {"type": "array", "items": items}


_FINISH = {"enum": ["stop", "length", "tool_calls"]}
_CALL = object_of(
    {"id": TEXT, "type": {"const": "function"}, "function": object_of({"name": TEXT, "arguments": TEXT})},
    index=COUNT,
)
_CALL_DELTA = object_of(
    {"index": COUNT, "function": object_of({"arguments": TEXT}, name=TEXT)}, id=TEXT, type={"const": "function"}
)
LOGPROB = object_of({"token": TEXT, "logprob": {"type": "number"}}, bytes={"type": ["array", "null"]})
_LOGPROBS = {"anyOf": [object_of({"content": list_of(LOGPROB)}), {"type": "null"}]}
_MESSAGE = object_of(
    {"role": {"const": "assistant"}, "content": TEXT_OR_NULL},
    refusal={"type": "null"},
    reasoning=TEXT,
    reasoning_content=TEXT,
    tool_calls=list_of(_CALL),
)
_DELTA = object_of(
    {}, role={"const": "assistant"}, content=TEXT_OR_NULL, reasoning=TEXT, tool_calls=list_of(_CALL_DELTA)
)
_USAGE = object_of(
    {"prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT},
    prompt_tokens_details=object_of({"cached_tokens": COUNT}),
    completion_tokens_details=object_of({"reasoning_tokens": COUNT}),
)
_EXTENSION = object_of(
    {"receipt": {"type": "object"}, "citations": list_of({"type": "object"}), "degraded": list_of(TEXT)}
)
_COMMON = {"id": TEXT, "created": COUNT, "model": TEXT}
_MODEL = object_of({"id": TEXT, "object": {"const": "model"}, "created": COUNT, "owned_by": TEXT})

_COMPLETION_CHOICE = object_of(
    {"index": COUNT, "text": TEXT, "finish_reason": {"enum": ["stop", "length", None]}},
    logprobs={
        "anyOf": [
            object_of(
                {
                    "tokens": list_of(TEXT),
                    "token_logprobs": list_of({"type": "number"}),
                    "top_logprobs": list_of({"type": "object"}),
                    "text_offset": list_of(COUNT),
                }
            ),
            {"type": "null"},
        ]
    },
    reasoning=TEXT,
)
_COMPLETION = {**_COMMON, "object": {"const": "text_completion"}, "choices": list_of(_COMPLETION_CHOICE)}


def _event(chunk: str) -> dict[str, Any]:
    content = {"anyOf": [{"$ref": f"{REF}{chunk}"}, {"$ref": f"{REF}Error"}]}
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": content}
    return object_of({"data": {"anyOf": [{"const": "[DONE]"}, data]}})


SCHEMAS: Mapping[str, Any] = {
    "ChatCompletion": object_of(
        {
            **_COMMON,
            "object": {"const": "chat.completion"},
            "choices": {
                **list_of(
                    object_of({"index": COUNT, "message": _MESSAGE, "finish_reason": _FINISH}, logprobs=_LOGPROBS)
                ),
                "minItems": 1,
            },
            "usage": _USAGE,
            "trivet": _EXTENSION,
        }
    ),
    "ChatCompletionChunk": object_of(
        {
            **_COMMON,
            "object": {"const": "chat.completion.chunk"},
            "choices": list_of(
                object_of(
                    {"index": COUNT, "delta": _DELTA, "finish_reason": {"anyOf": [_FINISH, {"type": "null"}]}},
                    logprobs=_LOGPROBS,
                )
            ),
        },
        usage=_USAGE,
        trivet=_EXTENSION,
    ),
    "Event": _event("ChatCompletionChunk"),
    "Completion": object_of({**_COMPLETION, "usage": _USAGE, "trivet": _EXTENSION}),
    "CompletionChunk": object_of(_COMPLETION, usage=_USAGE, trivet=_EXTENSION),
    "CompletionEvent": _event("CompletionChunk"),
    "EmbeddingList": object_of(
        {
            "object": {"const": "list"},
            "model": TEXT,
            "data": list_of(
                object_of(
                    {
                        "object": {"const": "embedding"},
                        "index": COUNT,
                        "embedding": {"anyOf": [TEXT, list_of({"type": "number"})]},
                    }
                )
            ),
            "usage": object_of({"prompt_tokens": COUNT, "total_tokens": COUNT}),
            "trivet": object_of({"receipt": {"type": "object"}}),
        }
    ),
    "Ranking": object_of(
        {
            "id": TEXT,
            "model": TEXT,
            "results": list_of(
                object_of({"index": COUNT, "relevance_score": {"type": "number"}}, document=object_of({"text": TEXT}))
            ),
            "usage": object_of({"total_tokens": COUNT}),
            "trivet": object_of({"receipt": {"type": "object"}}),
        }
    ),
    "Model": _MODEL,
    "ModelList": object_of({"object": {"const": "list"}, "data": list_of({"$ref": f"{REF}Model"})}),
    "Retrieved": object_of({}, citations=list_of({"type": "object"})),
    "Acknowledged": object_of({"id": TEXT}, revision=TEXT, unchanged={"type": "boolean"}, passages=COUNT),
    "Deleted": object_of({}, deleted=list_of(TEXT), missing=list_of(TEXT)),
    "IndexList": object_of({}, indexes=list_of(object_of({"name": TEXT}))),
    "Receipt": object_of({"receipt": object_of({"request_id": TEXT, "tenant": TEXT, "code": TEXT})}),
    "State": object_of({"status": {"enum": ["ok", "ready", "not ready"]}}),
}
