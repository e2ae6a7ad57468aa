"""A node's error status as the domain error that it was."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from trivet import errors

_DETAILS = "grpc-status-details-bin"
_RETRY_AFTER = 1.0
_LONGEST = 20  # digits of a number that is read
# Those that a node may mean; what else it says is none of the request's fault, and none of its business.
_BY_REASON: Mapping[str, type[errors.TrivetError]] = {
    error.reason: error
    for error in (
        errors.PromptTooLong,
        errors.NotFound,
        errors.AdapterRejected,
        errors.GenerationFailed,
        errors.FailedPrecondition,
        errors.MalformedMessage,
    )
}


def error_of(failure: grpc.aio.AioRpcError, node: str) -> errors.TrivetError:
    """`node`: where it was asked, for messages. What is not of a node's own making is BackendUnavailable."""
    trailers = {str(key): value for key, value in failure.trailing_metadata() or ()}
    raw = trailers.get(_DETAILS, b"")
    message = (failure.details() or "").strip()
    return _error(_status(raw if isinstance(raw, bytes) else b""), message, failure.code().name, node)


def error_of_status(raw: bytes, node: str) -> errors.TrivetError:
    """The same, of one answer among others: an encoded `google.rpc.Status`."""
    status = _status(raw)
    return _error(status, status.message, "UNKNOWN", node)


def _status(raw: bytes) -> status_pb2.Status:
    try:
        return status_pb2.Status.FromString(raw)
    except DecodeError:  # a proxy damaged the details: code and message stand
        return status_pb2.Status()


def _error(status: status_pb2.Status, message: str, code: str, node: str) -> errors.TrivetError:
    reason, fields, retry_after, (subject, limit) = _details(status)
    if reason == errors.InvalidRequest.reason:
        return errors.InvalidRequest(fields or {"request": message})
    if reason == errors.Overloaded.reason:
        return errors.Overloaded(subject or "requests", limit, retry_after or _RETRY_AFTER)
    if reason in (errors.Unauthenticated.reason, errors.PermissionDenied.reason):
        return errors.BackendUnavailable(f"engine node {node} does not let this gateway in: {message}", _RETRY_AFTER)
    if reason == errors.Draining.reason:
        return errors.Draining(message, retry_after or _RETRY_AFTER)
    if reason == errors.AdapterSourceUnavailable.reason:
        return errors.AdapterSourceUnavailable(message, retry_after or _RETRY_AFTER)
    if reason == errors.BackendUnavailable.reason:
        return errors.BackendUnavailable(message, retry_after or _RETRY_AFTER)
    kind = _BY_REASON.get(reason)
    if kind is not None:
        return kind(message)
    if reason:  # a bug of the node's: its log has more
        return errors.GenerationFailed(f"engine node {node}: {message}")
    return errors.BackendUnavailable(f"engine node {node} cannot be reached ({code}: {message[:300]})", _RETRY_AFTER)


def _details(status: status_pb2.Status) -> tuple[str, dict[str, str], float | None, tuple[str, int]]:
    """Reason, wrong fields, seconds until a retry, what is used up and how much of it there is."""
    reason, fields, subject, limit = "", {}, "", 0
    retry_after: float | None = None
    for detail in status.details:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        retry, quota = error_details_pb2.RetryInfo(), error_details_pb2.QuotaFailure()
        try:
            if detail.Unpack(info):
                reason = info.reason
                told = info.metadata.get("limit", "")
                limit = int(told) if told.isdecimal() and len(told) < _LONGEST else 0
            elif detail.Unpack(bad):
                fields = {item.field: item.description for item in bad.field_violations}
            elif detail.Unpack(retry):
                retry_after = retry.retry_delay.ToTimedelta().total_seconds()
            elif detail.Unpack(quota) and quota.violations:
                subject = quota.violations[0].subject
        except DecodeError:
            continue
    return reason, fields, retry_after, (subject, limit)
