"""One total table from errors to statuses."""

from __future__ import annotations

import asyncio
import inspect
from typing import TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from trivet import errors
from trivet.api.v1 import receipt_pb2
from trivet.rpc.status import CODES, code_of, status_of, trailers_of

DetailT = TypeVar("DetailT", bound=Message)

ALL = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, errors.TrivetError) and value is not errors.TrivetError
]


def detail(status: status_pb2.Status, kind: type[DetailT]) -> DetailT | None:
    found = []
    for item in status.details:
        message = kind()
        if item.Unpack(message):
            found.append(message)
    assert len(found) <= 1
    return found[0] if found else None


def test_the_table_is_total_and_holds_nothing_else() -> None:
    assert set(CODES) == set(ALL)


@pytest.mark.parametrize("kind", ALL)
def test_reasons_are_upper_case_and_unlike(kind: type[errors.TrivetError]) -> None:
    assert kind.reason == kind.reason.upper()
    assert [other for other in ALL if other.reason == kind.reason] == [kind]


def test_every_status_has_exactly_one_error_info() -> None:
    status = status_of(errors.NotFound("no such thing"), "id-1")
    info = detail(status, error_details_pb2.ErrorInfo)
    assert info is not None
    assert (info.reason, info.domain, info.metadata["request_id"]) == ("NOT_FOUND", "trivet", "id-1")
    assert status.message == "no such thing"


def test_wrong_fields_are_named() -> None:
    bad = detail(
        status_of(errors.InvalidRequest({"a.b": "is empty", "c": "is late"}), "x"), error_details_pb2.BadRequest
    )
    assert bad is not None
    assert {item.field: item.description for item in bad.field_violations} == {"a.b": "is empty", "c": "is late"}


def test_overload_says_when_to_come_back() -> None:
    error = errors.Overloaded("requests", 64, 1.5)
    status = status_of(error, "x")
    retry = detail(status, error_details_pb2.RetryInfo)
    quota = detail(status, error_details_pb2.QuotaFailure)
    assert retry is not None
    assert quota is not None
    assert retry.retry_delay.ToTimedelta().total_seconds() == 1.5
    assert quota.violations[0].subject == "requests"
    assert ("grpc-retry-pushback-ms", "1500") in trailers_of(error, status)


def test_what_will_not_get_better_has_no_push_back() -> None:
    error = errors.NotFound("x")
    assert [key for key, _ in trailers_of(error, status_of(error, "x"))] == ["grpc-status-details-bin"]


def test_an_unknown_exception_shows_nothing_of_itself() -> None:
    status = status_of(RuntimeError("password=hunter2"), "id-2")
    assert code_of(RuntimeError()) is grpc.StatusCode.INTERNAL
    assert "hunter2" not in str(status)
    assert "id-2" in status.message


def test_a_cancelled_task_is_cancelled() -> None:
    assert code_of(asyncio.CancelledError()) is grpc.StatusCode.CANCELLED


def test_a_receipt_travels_with_the_failure() -> None:
    status = status_of(errors.NotFound("x"), "id", receipt_pb2.Receipt(request_id="id", variant="v"))
    receipt = detail(status, receipt_pb2.Receipt)
    assert receipt is not None
    assert receipt.variant == "v"
