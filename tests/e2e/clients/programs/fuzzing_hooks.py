"""What schemathesis is told beside the description, so that some of its requests get as far as the model."""

from typing import Any

import schemathesis

ROUTES = ["plain", "open", "rag"]
# Short conversations with some of the parameters: a subset of what the description allows.
ANSWERED: dict[str, Any] = {
    "type": "object",
    "required": ["model", "messages"],
    "additionalProperties": False,
    "properties": {
        "model": {"enum": ROUTES},
        "messages": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "required": ["role", "content"],
                "additionalProperties": False,
                "properties": {"role": {"const": "user"}, "content": {"type": "string", "minLength": 1}},
            },
        },
        "stream": {"type": "boolean"},
        "max_tokens": {"type": "integer", "minimum": 1, "maximum": 1024},
        "temperature": {"type": "number", "minimum": 0, "maximum": 2},
        "seed": {"type": "integer", "minimum": 0},
        "n": {"type": "integer", "minimum": 1, "maximum": 3},
        "user": {"type": "string", "maxLength": 32},
        "response_format": {"enum": [{"type": "text"}, {"type": "json_object"}]},
    },
}
_SHARED = ("model", "stream", "temperature", "seed", "user")
RESPONDED: dict[str, Any] = {
    "type": "object",
    "required": ["model", "input"],
    "additionalProperties": False,
    "properties": {
        **{name: ANSWERED["properties"][name] for name in _SHARED},
        "input": {"type": "string", "minLength": 1},
        "max_output_tokens": ANSWERED["properties"]["max_tokens"],
        "text": {"enum": [{"format": {"type": "text"}}, {"format": {"type": "json_object"}}]},
    },
}

CONTINUED: dict[str, Any] = {
    "type": "object",
    "required": ["model", "prompt"],
    "additionalProperties": False,
    "properties": {
        **{name: form for name, form in ANSWERED["properties"].items() if name not in ("messages", "response_format")},
        "model": {"const": "raw"},
        "prompt": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "string", "minLength": 1}},
        "logprobs": {"type": "integer", "minimum": 0, "maximum": 5},
    },
}


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Names that there are, and requests that are answered."""
    schemas = raw_schema["components"]["schemas"]
    for form, names, answered in (
        ("ChatCompletionRequest", ROUTES, ANSWERED),
        ("ResponseRequest", ROUTES, RESPONDED),
        ("CompletionRequest", ["raw"], CONTINUED),
        ("EmbeddingRequest", ["facts"], None),
        ("RerankRequest", ["facts"], None),
    ):
        whole = schemas[form]
        whole["properties"]["model"] = {"enum": names}
        schemas[form] = whole if answered is None else {"anyOf": [answered, whole]}
