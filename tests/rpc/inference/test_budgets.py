"""Limits over gRPC: refused before admission with what a client needs to know, and warned of before."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from tests.support.gateway.harness import Gateway, failure, gateway, request
from trivet.errors import RetrievalUnavailable
from trivet.testing import ScriptedBackend
from trivet.types.budget import Limit, LimitSet, Owner, Period, Unit
from trivet.types.request import KeyRole

KEYS = [("alpha", "acme", KeyRole.CLIENT), ("gamma", "acme", KeyRole.CLIENT), ("beta", "globex", KeyRole.CLIENT)]


def limit(owner: Owner, name: str, unit: Unit, most: int) -> Limit:
    return Limit(owner, name, Period.MONTH, unit, most, warn_at=0.5)


def bearer(key: str) -> Any:
    return (("authorization", f"Bearer {key}"),)


async def refused(found: Gateway, key: str) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await found.stub.Generate(request(), metadata=bearer(key))
    return error.value


async def test_a_limit_refuses_with_what_it_is_and_when_it_ends(tmp_path: Path) -> None:
    limits = LimitSet(by_key={"alpha": (limit(Owner.KEY, "alpha", Unit.REQUESTS, 2),)})
    async with gateway(tmp_path, keys=KEYS, limits=limits) as found:
        first = found.stub.Generate(request(), metadata=bearer("alpha"))
        assert list((await first).receipt.budget_warnings) == []
        second = found.stub.Generate(request(), metadata=bearer("alpha"))
        told = "0.50 of 2 requests per month of key alpha"
        assert list((await second).receipt.budget_warnings) == [told]
        assert ("x-trivet-budget-warning", told) in list(await second.trailing_metadata() or ())
        error = await refused(found, "alpha")
        shown = failure(error)
        assert (shown.code, shown.reason) == ("RESOURCE_EXHAUSTED", "BUDGET_EXCEEDED")
        end = Period.MONTH.window(time.time())[1]
        assert shown.retry_after == pytest.approx(end - time.time(), abs=60)
        assert shown.trailers["grpc-retry-pushback-ms"] == "-1"
        assert shown.receipt is not None
        assert (shown.receipt.code, shown.receipt.HasField("output_tokens")) == ("RESOURCE_EXHAUSTED", False)
        assert not shown.receipt.cost.HasField("total")
        (quota,) = violations(error)
        assert quota.subject == "key alpha"
        assert "2 requests per month of key alpha" in quota.description
        await found.stub.Generate(request(), metadata=bearer("gamma"))  # another key of the tenant


def violations(error: grpc.aio.AioRpcError) -> list[error_details_pb2.QuotaFailure.Violation]:
    trailers = dict(error.trailing_metadata() or ())
    quota = error_details_pb2.QuotaFailure()
    for detail in status_pb2.Status.FromString(trailers["grpc-status-details-bin"]).details:
        detail.Unpack(quota)
    return list(quota.violations)


@pytest.mark.parametrize("unit", [Unit.TOKENS, Unit.USD])
async def test_what_receipts_say_is_what_counts(tmp_path: Path, unit: Unit) -> None:
    limits = LimitSet(by_tenant={"acme": (limit(Owner.TENANT, "acme", unit, 10**12),)})
    async with gateway(tmp_path, keys=KEYS, limits=limits) as found:
        answers = await asyncio.gather(
            *(found.stub.Generate(request(), metadata=bearer(key)) for key in ("alpha", "gamma", "beta"))
        )
        receipts = [answer.receipt for answer in answers if answer.receipt.tenant == "acme"]
        tokens = sum(receipt.input_tokens + receipt.output_tokens for receipt in receipts)
        expected = tokens if unit is Unit.TOKENS else sum(receipt.cost.total for receipt in receipts)
    assert expected > 0
    async with gateway(tmp_path) as found:
        start = Period.MONTH.window(await found.state.now())[0]
        assert await found.state.budget_usage(limits.by_tenant["acme"][0].id, start) == (expected, 0)


async def test_what_fails_before_the_engine_uses_nothing(tmp_path: Path) -> None:
    limits = LimitSet(default=(limit(Owner.TENANT, "", Unit.REQUESTS, 1),))
    async with gateway(tmp_path, keys=KEYS, limits=limits) as found:
        found.retriever.failure = RetrievalUnavailable("down")
        for route in ("nowhere", "strict"):
            with pytest.raises(grpc.aio.AioRpcError):
                await found.stub.Generate(request(route), metadata=bearer("alpha"))
        await found.stub.Generate(request(), metadata=bearer("alpha"))
        await refused(found, "alpha")
        await found.stub.Generate(request(), metadata=bearer("beta"))  # the default is each tenant's own


async def test_a_cancelled_stream_counts_what_the_engine_had_made(tmp_path: Path) -> None:
    limits = LimitSet(default=(limit(Owner.TENANT, "", Unit.REQUESTS, 1),))
    slow = ScriptedBackend(["word "] * 100, interval=0.05)
    async with gateway(tmp_path, keys=KEYS, limits=limits, backend=slow) as found:
        call = found.stub.GenerateStream(request(), metadata=bearer("alpha"))
        await asyncio.sleep(0.2)
        call.cancel()
        await asyncio.sleep(0.2)
        await refused(found, "alpha")


async def test_a_key_calls_its_routes_alone(tmp_path: Path) -> None:
    async with gateway(tmp_path, keys=KEYS, key_routes=["plain"]) as found:
        await found.stub.Generate(request("plain"), metadata=bearer("alpha"))
        for route in ("rag", "nowhere"):  # whether there is one is not told
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await found.stub.Generate(request(route), metadata=bearer("alpha"))
            shown = failure(error.value)
            assert (shown.code, shown.reason) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
            assert route in shown.message
