"""Errors as OpenAI's API shows them: the status follows from the one table of `trivet.rpc.status`.

Sources: https://platform.openai.com/docs/guides/error-codes; HTTP statuses of codes: google/rpc/code.proto.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict

from trivet import errors
from trivet.rpc.status import LONGEST_PUSHBACK, code_of, retry_after_of
from trivet.rpc.wire import receipt_to_proto
from trivet.types.receipt import Receipt

Code = grpc.StatusCode

STATUSES: Mapping[grpc.StatusCode, int] = {
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.ABORTED: 409,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.INTERNAL: 500,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
}
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
# What OpenAI calls it, where it has a name for it; else the reason in small letters.
_CODES: Mapping[type[errors.TrivetError], str] = {
    errors.Unauthenticated: "invalid_api_key",
    errors.UnknownRoute: "model_not_found",
    errors.PromptTooLong: "context_length_exceeded",
    errors.Overloaded: "rate_limit_exceeded",
    errors.QuotaExceeded: "insufficient_quota",
    errors.BudgetExceeded: "rate_limit_exceeded",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failed request is answered with. `body` is the JSON object, `headers` come beside the usual ones."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


def failure_of(
    error: BaseException, request_id: str, receipt: Receipt | None = None, names: Mapping[str, str] | None = None
) -> Failure:
    """How any exception is told. An unknown one shows a fixed text and the request id, nothing else.

    `names`: what this door calls fields that errors name as the contract does.
    """
    status = STATUSES.get(code_of(error), 500)
    known = isinstance(error, errors.TrivetError) and status != 500
    reason, code = "INTERNAL", "internal"
    if isinstance(error, errors.TrivetError):
        reason = error.reason
        code = _CODES.get(type(error), reason.lower())
    more: dict[str, Any] = {"reason": reason, "request_id": request_id}
    parameter, message = None, str(error)
    if isinstance(error, errors.InvalidRequest):
        fields = {_renamed(name, names or {}): problem for name, problem in error.fields.items()}
        parameter = next(iter(fields), None)
        message = "; ".join(f"{name}: {problem}" for name, problem in fields.items())
        more["fields"] = fields
    if not known:
        message = f"internal error; the server's log has it under request id {request_id}"
    if receipt is not None:
        more["receipt"] = MessageToDict(receipt_to_proto(receipt), preserving_proto_field_name=True)
    retry_after = retry_after_of(error)
    soon = retry_after is not None and retry_after <= LONGEST_PUSHBACK  # a month's limit may end in weeks
    headers = {"x-should-retry": "true" if soon else "false"}
    if retry_after is not None:
        headers["retry-after"] = str(math.ceil(retry_after))
        headers["retry-after-ms"] = str(int(retry_after * 1000))
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    told = {
        "message": message,
        "type": _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error"),
        "param": parameter,
        "code": code,
        "trivet": more,
    }
    return Failure(status, {"error": told}, headers)


def _renamed(name: str, names: Mapping[str, str]) -> str:
    """`messages[0].role` and the like: the first part decides."""
    for ours, theirs in names.items():
        if name == ours or name.startswith((f"{ours}.", f"{ours}[")):
            return theirs + name[len(ours) :]
    return name
