"""The forms of responses and of their events, as JSON schemas for the OpenAPI description.

Source: https://platform.openai.com/docs/api-reference/responses/object and /responses-streaming. `trivet` is our
extension.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trivet.http.openapi_answers import COUNT, LOGPROB, REF, TEXT, TEXT_OR_NULL, list_of, object_of

_NULL: Mapping[str, Any] = {"type": "null"}
_STATUS = {"enum": ["in_progress", "completed", "incomplete", "failed"]}
_SAID = object_of(
    {"type": {"const": "output_text"}, "text": TEXT, "annotations": list_of({}), "logprobs": list_of(LOGPROB)}
)
_PART = {"anyOf": [_SAID, object_of({"type": {"const": "reasoning_text"}, "text": TEXT})]}
_MESSAGE = {"type": {"const": "message"}, "role": {"const": "assistant"}, "content": list_of(_PART)}
_REASONING = {"type": {"const": "reasoning"}, "summary": list_of({}), "content": list_of(_PART)}
_CALL = {"type": {"const": "function_call"}, "call_id": TEXT, "name": TEXT, "arguments": TEXT}
_ITEM = {"anyOf": [object_of({"id": TEXT, "status": _STATUS, **kind}) for kind in (_MESSAGE, _REASONING, _CALL)]}
_USAGE = object_of(
    {"input_tokens": COUNT, "output_tokens": COUNT, "total_tokens": COUNT},
    input_tokens_details=object_of({"cached_tokens": COUNT}),
    output_tokens_details=object_of({"reasoning_tokens": COUNT}),
)
_RESPONSE = object_of(
    {
        "id": TEXT,
        "object": {"const": "response"},
        "created_at": COUNT,
        "status": _STATUS,
        "model": TEXT,
        "output": list_of(_ITEM),
        "error": {"anyOf": [object_of({"code": TEXT, "message": TEXT}), _NULL]},
        "incomplete_details": {"anyOf": [object_of({"reason": TEXT}), _NULL]},
        "usage": {"anyOf": [_USAGE, _NULL]},
        "instructions": TEXT_OR_NULL,
        "tools": list_of({"type": "object"}),
        "tool_choice": {"type": ["string", "object"]},
        "parallel_tool_calls": {"type": "boolean"},
    },
    trivet={"type": "object"},
)
_EVENT = object_of(
    {"type": {"type": "string", "pattern": "^response[.]"}, "sequence_number": COUNT},
    response={"$ref": f"{REF}Response"},
    item=_ITEM,
    part=_PART,
    item_id=TEXT,
    output_index=COUNT,
    content_index=COUNT,
    delta=TEXT,
    text=TEXT,
    arguments=TEXT,
    logprobs=list_of(LOGPROB),
)
_DATA = {
    "type": "string",
    "contentMediaType": "application/json",
    "contentSchema": {"$ref": f"{REF}ResponseEventData"},
}

SCHEMAS: Mapping[str, Any] = {
    "Response": _RESPONSE,
    "ResponseEventData": _EVENT,
    "ResponseEvent": object_of({"event": TEXT, "data": _DATA}),
}
