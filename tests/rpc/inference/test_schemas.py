"""Schemas of requests, over the wire: refused with their place, waited for aside; and answers that are given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.gateway.harness import Failure, Gateway, failure, gateway, request
from trivet.api.v1 import inference_pb2
from trivet.testing.backend import ScriptedBackend
from trivet.types.generation import BackendRequest, FinishReason


class WaitingBackend(ScriptedBackend):
    """Every schema is new, and waits until it is let in."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.asked: list[str] = []

    def schema_known(self, schema: Mapping[str, Any], owner: str) -> bool:
        return False

    async def admit_schema(self, schema: Mapping[str, Any], owner: str) -> None:
        self.asked.append(owner)
        await self.open.wait()


class GivingUpBackend(ScriptedBackend):
    """Ends its answers as no answer ends."""

    def __init__(self, end: FinishReason | None) -> None:
        super().__init__()
        self._end = end

    def _finish(self, request: BackendRequest) -> FinishReason | None:  # type: ignore[override]
        return self._end


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path) as running:
        yield running


def constrained(schema: Mapping[str, Any]) -> inference_pb2.GenerateRequest:
    asked = request()
    asked.json_schema.update(schema)
    return asked


async def fails(served: Gateway, asked: inference_pb2.GenerateRequest, timeout: float | None = None) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await served.stub.Generate(asked, timeout=timeout)
    return failure(error.value)


async def test_what_is_wrong_with_a_schema_is_told_with_its_place(served: Gateway) -> None:
    items = {"type": "string", "pattern": "^(?=a)"}
    said = await fails(served, constrained({"type": "array", "items": items, "uniqueItems": True}))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert said.fields == {"json_schema": "at /uniqueItems: is not enforced"}
    said = await fails(served, constrained({"type": "array", "items": items}))
    assert said.fields == {"json_schema": "at /items/pattern: look-ahead is not enforced"}
    assert served.backend.requests == []


@pytest.mark.parametrize("size", [70_000, 1_000_000])
async def test_a_schema_that_is_too_large_is_refused(served: Gateway, size: int) -> None:
    said = await fails(served, constrained({"type": "string", "description": "d" * size}))
    assert "65,536" in said.fields["json_schema"]


async def test_who_waits_for_a_schema_takes_no_place_from_others(tmp_path: Path) -> None:
    backend = WaitingBackend()
    async with gateway(tmp_path, backend=backend, max_running=1) as served:
        call = served.stub.Generate(constrained({"type": "string"}))
        while not backend.asked:
            await asyncio.sleep(0.005)
        assert (await served.stub.Generate(request(), timeout=5)).text == "one two three"
        backend.open.set()
        receipt = (await call).receipt
        assert backend.asked == ["public"]
        assert receipt.queue_ms > 0
        assert receipt.gateway_ms < receipt.total_ms - receipt.queue_ms + 1


async def test_a_deadline_ends_the_wait_for_a_schema_and_nothing_is_charged(tmp_path: Path) -> None:
    backend = WaitingBackend()
    async with gateway(tmp_path, backend=backend) as served:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await served.stub.Generate(constrained({"type": "string"}), timeout=0.3)
        assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert backend.requests == []
        async with asyncio.timeout(60):
            while served.admission.in_flight:
                await asyncio.sleep(0.005)
        assert served.metric("tokens_total", route="plain", variant="plain", kind="input_uncached") == 0
        assert served.metric("cost_usd_total", route="plain", variant="plain", component="input") == 0


@pytest.mark.parametrize("end", [FinishReason.ERROR, FinishReason.CANCELLED, None])
async def test_an_answer_that_is_given_up_is_an_error_with_its_receipt(
    tmp_path: Path, end: FinishReason | None
) -> None:
    async with gateway(tmp_path, backend=GivingUpBackend(end)) as served:
        said = await fails(served, request())
        assert (said.code, said.reason) == ("INTERNAL", "GENERATION_FAILED")
        assert "gave the answer up" in said.message
        assert said.receipt is not None
        assert (said.receipt.code, said.receipt.finish_reason) == ("INTERNAL", 4)
        assert said.receipt.output_tokens == 3
        assert said.receipt.cost.output == 3 * 2000
        stream = served.stub.GenerateStream(request())
        with pytest.raises(grpc.aio.AioRpcError):
            assert [event.HasField("final") async for event in stream] == [False] * 3
