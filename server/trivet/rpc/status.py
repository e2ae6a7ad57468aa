"""The one table from domain errors to gRPC statuses.

Every status carries exactly one `google.rpc.ErrorInfo` (reason, domain) and the details that fit, after
https://google.aip.dev/193. Retryable ones also set the `grpc-retry-pushback-ms` trailer of gRFC A6.

A status travels in the trailers, of which most clients take 8 KiB at most (`grpc.max_metadata_size`): above that they
show RESOURCE_EXHAUSTED without a reason instead, which looks like overload. So what does not fit is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message as ProtoMessage
from google.rpc import error_details_pb2, status_pb2

from trivet import errors
from trivet.api.v1 import receipt_pb2

DOMAIN = "trivet"
DETAILS_TRAILER = "grpc-status-details-bin"
PUSHBACK_TRAILER = "grpc-retry-pushback-ms"

Code = grpc.StatusCode
# Bytes. The details travel in base64, a third longer; the message beside them, a byte that is no printable ASCII as
# three. With the other trailers they stay below 8 KiB.
MAX_DETAILS = 4096
MAX_MESSAGE = 1536
LONGEST_PUSHBACK = 600.0  # seconds
_CUT = " ..."
_FRAME = 8  # bytes around one of the details
_ENVELOPE = 64  # the same, its type's name included
# How a client that went away shows: its task is cancelled, or a write to it fails in gRPC's core.
GONE = (asyncio.CancelledError, grpc.aio.InternalError)

CODES: Mapping[type[errors.TrivetError], grpc.StatusCode] = {
    errors.InvalidRequest: Code.INVALID_ARGUMENT,
    errors.MalformedMessage: Code.INVALID_ARGUMENT,
    errors.MessageTooLarge: Code.INVALID_ARGUMENT,
    errors.PromptTooLong: Code.INVALID_ARGUMENT,
    errors.DocumentRejected: Code.INVALID_ARGUMENT,
    errors.AdapterRejected: Code.INVALID_ARGUMENT,
    errors.ConfigError: Code.FAILED_PRECONDITION,
    errors.Unauthenticated: Code.UNAUTHENTICATED,
    errors.PermissionDenied: Code.PERMISSION_DENIED,
    errors.UnknownRoute: Code.NOT_FOUND,
    errors.NotFound: Code.NOT_FOUND,
    errors.FailedPrecondition: Code.FAILED_PRECONDITION,
    errors.DocumentDamaged: Code.FAILED_PRECONDITION,
    errors.DataFolderInUse: Code.FAILED_PRECONDITION,
    errors.Conflict: Code.ABORTED,
    errors.LeaseLost: Code.ABORTED,
    errors.GenerationFailed: Code.INTERNAL,
    errors.Overloaded: Code.RESOURCE_EXHAUSTED,
    errors.QuotaExceeded: Code.RESOURCE_EXHAUSTED,
    errors.BudgetExceeded: Code.RESOURCE_EXHAUSTED,
    errors.SlowReader: Code.ABORTED,
    errors.DeadlineExceeded: Code.DEADLINE_EXCEEDED,
    errors.Unavailable: Code.UNAVAILABLE,
    errors.RetrievalUnavailable: Code.UNAVAILABLE,
    errors.CollectionMissing: Code.UNAVAILABLE,
    errors.CollectionUnreadable: Code.UNAVAILABLE,
    errors.RetrievalTimeout: Code.UNAVAILABLE,
    errors.StateUnavailable: Code.UNAVAILABLE,
    errors.AdapterSourceUnavailable: Code.UNAVAILABLE,
    errors.BackendUnavailable: Code.UNAVAILABLE,
    errors.Draining: Code.UNAVAILABLE,
    errors.Unsupported: Code.UNIMPLEMENTED,
}


def code_of(error: BaseException) -> grpc.StatusCode:
    """The status code of any exception; what is not ours is INTERNAL."""
    if isinstance(error, GONE):
        return Code.CANCELLED
    return CODES.get(type(error), Code.INTERNAL) if isinstance(error, errors.TrivetError) else Code.INTERNAL


def code_name_of(error: BaseException) -> str:
    """The status code's name, as receipts and metrics show it."""
    return code_of(error).name


def status_of(error: BaseException, request_id: str, receipt: receipt_pb2.Receipt | None = None) -> status_pb2.Status:
    """The status that the client gets, at most `MAX_DETAILS` bytes: the first wrong fields, and the receipt if it fits.

    An unknown exception shows a fixed text and the request id, nothing else.
    """
    code = code_of(error)
    known = type(error) in CODES
    message = str(error) if known else f"internal error; the server's log has it under request id {request_id}"
    reason = error.reason if isinstance(error, errors.TrivetError) else "INTERNAL"
    status = status_pb2.Status(code=code.value[0], message=transmittable(message))
    metadata = {"request_id": request_id}
    if isinstance(error, errors.Conflict):
        metadata["revision"] = str(error.revision)
    if isinstance(error, errors.Overloaded):
        metadata["limit"] = str(error.limit)
    _add(status, error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata))
    if isinstance(error, errors.Overloaded | errors.QuotaExceeded | errors.BudgetExceeded):
        violation = error_details_pb2.QuotaFailure.Violation(subject=error.subject, description=str(error))
        _add(status, error_details_pb2.QuotaFailure(violations=[violation]))
    retry_after = retry_after_of(error)
    if retry_after is not None:
        delay = Duration()
        delay.FromTimedelta(timedelta(seconds=retry_after))
        _add(status, error_details_pb2.RetryInfo(retry_delay=delay))
    if receipt is not None:
        _add(status, receipt)
    if isinstance(error, errors.InvalidRequest):
        _add_fields(status, error)
    return status


def transmittable(message: str) -> str:
    """As much of the message as has at most `MAX_MESSAGE` bytes the way gRPC writes it: percent-encoded."""
    message = message[: MAX_MESSAGE + 1].encode("utf-8", "replace").decode()  # names of files may be no Unicode
    left = MAX_MESSAGE
    for position, character in enumerate(message[:MAX_MESSAGE]):
        plain = " " <= character <= "~" and character != "%"
        left -= 1 if plain else 3 * len(character.encode())
        if left < 0:
            return message[: max(0, position - len(_CUT))] + _CUT
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - len(_CUT)] + _CUT


def retry_after_of(error: BaseException) -> float | None:
    """Seconds after which a retry may succeed; None if it will not."""
    timed = errors.Unavailable | errors.Overloaded | errors.BudgetExceeded
    return error.retry_after if isinstance(error, timed) else None


def trailers_of(error: BaseException, status: status_pb2.Status) -> tuple[tuple[str, str | bytes], ...]:
    """The trailing metadata that carries the status's details and the push-back."""
    trailers: list[tuple[str, str | bytes]] = [(DETAILS_TRAILER, status.SerializeToString())]
    retry_after = retry_after_of(error)
    if retry_after is not None:
        # A negative one means that there is no use in trying again (gRFC A6); the details say when there is.
        soon = retry_after <= LONGEST_PUSHBACK
        trailers.append((PUSHBACK_TRAILER, str(int(retry_after * 1000)) if soon else "-1"))
    return tuple(trailers)


def _add_fields(status: status_pb2.Status, error: errors.InvalidRequest) -> None:
    """As many of the wrong fields as there is room for."""
    room = MAX_DETAILS - status.ByteSize() - _ENVELOPE
    bad = error_details_pb2.BadRequest()
    for field, problem in error.fields.items():
        bad.field_violations.add(field=field, description=problem)
        if bad.ByteSize() > room:
            del bad.field_violations[-1]
            break
    _add(status, bad)


def _add(status: status_pb2.Status, detail: ProtoMessage) -> None:
    """Add it if there is room."""
    packed = Any()
    packed.Pack(detail)
    if status.ByteSize() + packed.ByteSize() + _FRAME <= MAX_DETAILS:
        status.details.append(packed)
