"""The OpenAPI description of the HTTP door, at `/openapi.json`. Source: https://spec.openapis.org/oas/v3.1.0"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from trivet import __version__
from trivet.api.v1 import admin_pb2, inference_pb2
from trivet.http.anthropic.request import MessageRequest
from trivet.http.chat.request import ChatCompletionRequest
from trivet.http.completions.request import CompletionRequest
from trivet.http.index_models.request import EmbeddingRequest, RerankRequest
from trivet.http.openapi_answers import SCHEMAS
from trivet.http.openapi_messages import message_form
from trivet.http.responses.openapi_answers import SCHEMAS as RESPONSE_SCHEMAS
from trivet.http.responses.request import ResponseRequest

_COMPONENTS = "#/components/schemas"
_ANY: dict[str, Any] = {"type": "object"}
_RETRIEVE = message_form(inference_pb2.RetrieveRequest, ["text"])
_RATE = message_form(inference_pb2.SubmitFeedbackRequest, ["request_id"])
_DELETE = message_form(admin_pb2.DeleteDocumentsRequest, ["index", "ids"])
_DOCUMENT = message_form(admin_pb2.Document, ["id"], text={"type": "string"})
_UPSERT: dict[str, Any] = {
    "type": "object",
    "required": ["index", "document"],
    "properties": {"index": {"type": "string", "maxLength": 128}, "document": _DOCUMENT},
}
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


_BODIES = (
    ChatCompletionRequest, ResponseRequest, CompletionRequest, MessageRequest, EmbeddingRequest, RerankRequest,
)  # fmt: skip


def description() -> dict[str, Any]:
    """The whole description."""
    _, chat = models_json_schema(
        [(form, "validation") for form in _BODIES],
        ref_template=f"{_COMPONENTS}/{{model}}",
    )
    schemas = {**chat["$defs"], **SCHEMAS, **RESPONSE_SCHEMAS, "Error": _ERROR}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trivet", "version": __version__},
        "security": [{"key": []}],
        "paths": _paths(),
        "components": {"schemas": schemas, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _paths() -> dict[str, Any]:
    return {
        "/v1/chat/completions": _post(
            "Answer a conversation.",
            _ref("ChatCompletionRequest"),
            "ChatCompletion",
            "Event",
        ),
        "/v1/responses": _post(
            "Answer a conversation in the form of the Responses API; nothing is stored.",
            _ref("ResponseRequest"),
            "Response",
            "ResponseEvent",
        ),
        "/v1/completions": _post(
            "Continue texts.",
            _ref("CompletionRequest"),
            "Completion",
            "CompletionEvent",
        ),
        "/v1/embeddings": _post("Turn texts into vectors.", _ref("EmbeddingRequest"), "EmbeddingList"),
        "/v1/rerank": _post("Score texts for a question.", _ref("RerankRequest"), "Ranking"),
        "/v1/messages": _post("Answer a conversation in Anthropic's form.", _ref("MessageRequest"), None),
        "/v1/models": _get("List the routes.", "ModelList"),
        "/v1/models/{model}": _get("Show one route.", "Model", "model"),
        "/v1/retrieve": _post(
            "Search without answering; the body is a `RetrieveRequest` of the contract.", _RETRIEVE, "Retrieved"
        ),
        "/v1/feedback": _post("Rate an answer; the body is a `SubmitFeedbackRequest` of the contract.", _RATE, None),
        "/v1/receipts/{request_id}": _get("Show the account of an earlier request.", "Receipt", "request_id"),
        "/v1/documents": _post(
            "Add or replace one document: an `UpsertDocumentsRequest` of the contract, `text` for `content` too.",
            _UPSERT,
            "Acknowledged",
        ),
        "/v1/documents/delete": _post(
            "Delete documents; the body is a `DeleteDocumentsRequest` of the contract.", _DELETE, "Deleted"
        ),
        "/v1/indexes": _get("List the indexes; needs an operator key.", "IndexList"),
        "/health": _open("Tell that the process lives."),
        "/ready": _open("Tell whether requests are answered (200) or not yet (503)."),
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"{_COMPONENTS}/{name}"}


def _post(summary: str, body: dict[str, Any], answer: str | None, event: str | None = None) -> dict[str, Any]:
    """`answer`: the name of the answer's schema, None for any object; `event`: that of a stream's events."""
    content = {"application/json": {"schema": body}}
    taken = {"required": True, "content": content}
    return {"post": {"summary": summary, "requestBody": taken, **_responses(answer, event)}}


def _get(summary: str, answer: str, *parameters: str) -> dict[str, Any]:
    given = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in parameters]
    return {"get": {"summary": summary, "parameters": given, **_responses(answer)}}


def _open(summary: str) -> dict[str, Any]:
    """For everybody, without a key."""
    schema = {"application/json": {"schema": _ref("State")}}
    responses = {"200": {"description": "Yes.", "content": schema}, "503": {"description": "No.", "content": schema}}
    return {"get": {"summary": summary, "security": [], "responses": responses}}


def _responses(answer: str | None, event: str | None = None) -> dict[str, Any]:
    form = _ANY if answer is None else _ref(answer)
    answered: dict[str, Any] = {"application/json": {"schema": form}}
    if event is not None:
        answered["text/event-stream"] = {"schema": _ref(event)}
    error = {"application/json": {"schema": {"$ref": f"{_COMPONENTS}/Error"}}}
    return {
        "responses": {
            "200": {"description": "The answer.", "content": answered},
            "default": {"description": "What was wrong.", "content": error},
        }
    }
