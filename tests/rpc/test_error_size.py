"""An error reaches its client whole: status, message and details stay below what clients take as metadata."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from tests.support.gateway.admin_stub import admin_stub
from tests.support.gateway.harness import Failure, Gateway, failure, gateway, request
from trivet import errors
from trivet.api.v1 import admin_pb2, receipt_pb2
from trivet.rpc.status import MAX_DETAILS, MAX_MESSAGE, status_of, trailers_of, transmittable

METADATA_LIMIT = 8192  # gRPC's default for what a peer takes
OVERHEAD = 32  # of each entry, RFC 9113 section 6.5.2


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path) as running:
        yield running


async def fails(call: Any) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return failure(error.value)


def size_on_the_wire(trailers: dict[str, Any]) -> int:
    """Bytes of all trailers with the longest message, as gRPC writes them where it is not sure of its peer: base64."""
    entries = {**trailers, "grpc-message": "m" * MAX_MESSAGE, "content-type": "application/grpc", "grpc-status": "16"}
    sizes = (len(value) * 4 // 3 + 4 if isinstance(value, bytes) else len(value) for value in entries.values())
    return sum(sizes) + sum(len(key) + OVERHEAD for key in entries)


@pytest.mark.parametrize("unknown", [1, 40, 10_000])
async def test_unknown_variables_however_many(served: Gateway, unknown: int) -> None:
    wrong = request(variables={f"name-{number}": "x" for number in range(unknown)})
    said = await fails(served.stub.Generate(wrong, metadata=[("x-request-id", "r" * 128)]))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert len(said.trailers["grpc-status-details-bin"]) <= MAX_DETAILS
    assert size_on_the_wire(said.trailers) < METADATA_LIMIT
    if unknown <= 64:  # more are refused by their number, before their names are looked at
        assert set(said.fields) <= {f"variables.name-{number}" for number in range(unknown)}
        assert len(said.fields) == min(unknown, errors.MOST_PROBLEMS)
        assert ("40 problems, the first 16" in said.message) == (unknown == 40)


async def test_unknown_variables_with_the_longest_names_and_the_longest_route(served: Gateway) -> None:
    names = {"ü" * 120 + f"{number:08}": "x" for number in range(64)}
    said = await fails(served.stub.Generate(request(variables=names), metadata=[("x-request-id", "r" * 128)]))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert 1 <= len(said.fields) < errors.MOST_PROBLEMS
    said = await fails(served.stub.Generate(request("ü" * 128), metadata=[("x-request-id", "r" * 128)]))
    assert (said.code, said.reason) == ("NOT_FOUND", "UNKNOWN_ROUTE")
    assert said.receipt is not None


async def test_a_long_list_of_mistakes_in_the_configuration_reaches_the_operator_in_part() -> None:
    async def reload() -> None:
        raise errors.ConfigError([f"trivet.yaml:{line}: nö such field" for line in range(10_000)])

    async with admin_stub(reload=reload) as stub:
        said = await fails(stub.ReloadRoutes(admin_pb2.ReloadRoutesRequest()))
        assert (said.code, said.reason) == ("FAILED_PRECONDITION", "CONFIG_INVALID")
        assert said.message.startswith("trivet.yaml:0: nö such field\n")
        assert said.message.endswith(" ...")


LARGE = receipt_pb2.Receipt(
    request_id="r" * 128,
    tenant="t" * 63,
    route="ü" * 128,
    variant="v" * 63,
    backend="b" * 63,
    adapter="a" * 127,
    adapter_digest="d" * 64,
    prompt="p" * 127,
    index="i" * 63,
    snapshot="s" * 16,
    degraded=[f"reason_{number}" for number in range(8)],
)


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidRequest({f"field-{number}-{'ü' * 200}": "wröng " * 100 for number in range(500)}),
        errors.ConfigError(["\u4e2d" * 200] * 100),
        errors.NotFound("%" * 10_000),
        errors.Overloaded("requests", 64, 1.5),
        errors.AdapterRejected("\0" * 5000),
        RuntimeError("x" * 100_000),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_went_wrong_the_trailers_fit(error: Exception) -> None:
    status = status_of(error, "r" * 128, LARGE)
    assert status.ByteSize() <= MAX_DETAILS
    kinds = [detail.type_url.rpartition(".")[2] for detail in status.details]
    assert kinds.count("ErrorInfo") == 1
    assert kinds.count("Receipt") == 1
    trailers = {**dict(trailers_of(error, status)), "x-request-id": "r" * 128, "x-trivet-variant": "v" * 63}
    assert size_on_the_wire(trailers) < METADATA_LIMIT


def test_a_receipt_that_does_not_fit_is_left_out() -> None:
    huge = receipt_pb2.Receipt(request_id="x", degraded=["y" * 5000])
    status = status_of(errors.NotFound("nothing"), "x", huge)
    assert [detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR) for detail in status.details] == [True]


@pytest.mark.parametrize("text", ["a" * 5000, "ü" * 5000, "\n" * 5000, "a" * 1535 + "ü", "\ud800" * 9])
def test_a_message_is_cut_by_the_bytes_that_it_takes_on_the_wire(text: str) -> None:
    cut = transmittable(text)
    status_pb2.Status(message=cut).SerializeToString()
    plain = sum(1 if " " <= c <= "~" and c != "%" else 3 * len(c.encode()) for c in cut)
    assert plain <= MAX_MESSAGE


def test_no_error_grows_with_what_it_is_about() -> None:
    many = {f"variables.{number}": "x" * 10_000 for number in range(100_000)}
    error = errors.InvalidRequest(many)
    assert len(error.fields) == errors.MOST_PROBLEMS
    assert error.more == 100_000 - errors.MOST_PROBLEMS
    for long in (error, errors.NotFound("x" * 1_000_000), errors.UnknownRoute("r" * 1_000_000)):
        assert len(str(long)) < 3000
