"""A call's error status, taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from trivet.api.v1 import receipt_pb2

_DETAILS = "grpc-status-details-bin"
_PUSHBACK = "grpc-retry-pushback-ms"
_REQUEST_ID = "x-request-id"


class CallFailed(Exception):
    """A call ended with an error status.

    `code`: the status code's name, such as "UNAVAILABLE".
    `message`: what the server says.
    `reason`: the stable reason to branch on, such as "OVERLOADED"; empty where the error comes from gRPC itself.
    `fields`: what is wrong with the request, by field.
    `quota`: which bounds were met, by subject.
    `retry_after`: seconds after which the server asks to try again; None if it does not.
    `receipt`: the account of a generation that failed; None where there is none, or it did not fit.
    `request_id`: the id by which the server's log and GetReceipt know the call; empty if the server was not reached.
    """

    def __init__(self, error: Any) -> None:
        # A synchronous stub raises an object that is both a grpc.RpcError and a grpc.Call.
        self.code: str = error.code().name
        self.message: str = error.details() or ""
        self.reason = ""
        self.fields: dict[str, str] = {}
        self.quota: dict[str, str] = {}
        self.retry_after: float | None = None
        self.receipt: receipt_pb2.Receipt | None = None
        trailers = dict(error.trailing_metadata() or ())
        self.request_id: str = trailers.get(_REQUEST_ID, "")
        self._read(trailers)
        super().__init__(f"{self.code}: {self.message}")

    def _read(self, trailers: dict[str, Any]) -> None:
        pushback = trailers.get(_PUSHBACK, "")
        if pushback.isdecimal():
            self.retry_after = int(pushback) / 1000
        try:
            status = status_pb2.Status.FromString(trailers.get(_DETAILS, b""))
            for detail in status.details:
                self._read_detail(detail)
        except DecodeError:
            pass  # a proxy damaged the details: code and message stand
        if pushback.startswith("-"):
            self.retry_after = None  # gRPC's sign for: do not retry

    def _read_detail(self, detail: Any) -> None:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        retry, quota = error_details_pb2.RetryInfo(), error_details_pb2.QuotaFailure()
        receipt = receipt_pb2.Receipt()
        if detail.Unpack(info):
            self.reason = info.reason
        elif detail.Unpack(bad):
            self.fields = {item.field: item.description for item in bad.field_violations}
        elif detail.Unpack(retry):
            self.retry_after = retry.retry_delay.ToTimedelta().total_seconds()
        elif detail.Unpack(quota):
            self.quota = {item.subject: item.description for item in quota.violations}
        elif detail.Unpack(receipt):
            self.receipt = receipt


@contextmanager
def failures() -> Iterator[None]:
    """Raise CallFailed in place of gRPC's own errors."""
    try:
        yield
    except grpc.RpcError as error:
        raise CallFailed(error) from error
