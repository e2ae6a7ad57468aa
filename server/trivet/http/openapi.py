"""The OpenAPI description of the HTTP door, at `/openapi.json`. Source: https://spec.openapis.org/oas/v3.1.0"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from trivet import __version__
from trivet.http.chat.request import ChatCompletionRequest

_COMPONENTS = "#/components/schemas"
_ANY: dict[str, Any] = {"type": "object"}
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
                "trivet": _ANY,
            },
        }
    },
}


def description() -> dict[str, Any]:
    """The whole description."""
    _, chat = models_json_schema([(ChatCompletionRequest, "validation")], ref_template=f"{_COMPONENTS}/{{model}}")
    schemas = {**chat["$defs"], "Error": _ERROR}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trivet", "version": __version__},
        "security": [{"key": []}],
        "paths": {
            "/v1/chat/completions": _post(
                "Answer a conversation.", {"$ref": f"{_COMPONENTS}/ChatCompletionRequest"}, "text/event-stream"
            ),
            "/v1/models": _get("List the routes."),
            "/v1/models/{model}": _get("Show one route.", "model"),
            "/v1/retrieve": _post("Search without answering; the body is a `RetrieveRequest` of the contract.", _ANY),
            "/v1/feedback": _post("Rate an answer; the body is a `SubmitFeedbackRequest` of the contract.", _ANY),
            "/v1/receipts/{request_id}": _get("Show the account of an earlier request.", "request_id"),
            "/health": _get("Tell that the process lives."),
            "/ready": _get("Tell whether requests are answered (200) or not yet (503)."),
        },
        "components": {"schemas": schemas, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _post(summary: str, body: dict[str, Any], *more_types: str) -> dict[str, Any]:
    content = {"application/json": {"schema": body}}
    return {
        "post": {"summary": summary, "requestBody": {"required": True, "content": content}, **_responses(more_types)}
    }


def _get(summary: str, *parameters: str) -> dict[str, Any]:
    given = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in parameters]
    return {"get": {"summary": summary, "parameters": given, **_responses(())}}


def _responses(more_types: tuple[str, ...]) -> dict[str, Any]:
    answered: dict[str, Any] = {"application/json": {"schema": _ANY}}
    answered |= {name: {"schema": {"type": "string"}} for name in more_types}
    error = {"application/json": {"schema": {"$ref": f"{_COMPONENTS}/Error"}}}
    return {
        "responses": {
            "200": {"description": "The answer.", "content": answered},
            "default": {"description": "What was wrong.", "content": error},
        }
    }
