"""The spans of real calls, as a collector gets them: what ended them, when, and nothing that anybody wrote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support.gateway.collector import Collector, attributes, collecting
from tests.support.gateway.harness import Gateway, gateway, request
from trivet.tracing import Sampler, Tracer, TracerSettings
from trivet.tracing.tracer import LAST, TIMEOUT

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = ("traceparent", f"00-{TRACE}-{SPAN}-01")


class Traced:
    """A gateway whose requests are all traced; `spans` sends and shows them."""

    def __init__(self, served: Gateway, collector: Collector, tracer: Tracer) -> None:
        self.served = served
        self.collector = collector
        self.tracer = tracer

    async def spans(self) -> Collector:
        await asyncio.to_thread(self.tracer.close)
        return self.collector


@pytest.fixture
async def traced(tmp_path: Path) -> AsyncIterator[Traced]:
    with collecting() as collector:
        tracer = Tracer(TracerSettings(collector.endpoint, "1.2.3", "here"))
        async with gateway(
            tmp_path, http=True, begin_trace=Sampler(1.0).begin, on_receipt=tracer.record, slow_reader_timeout=0.3
        ) as served:
            yield Traced(served, collector, tracer)


async def test_a_request_is_one_trace_with_its_parts(traced: Traced) -> None:
    traced.served.backend.interval = 0.01
    await traced.served.stub.Generate(request(route="rag", text="a secret question"), metadata=[PARENT])
    found = await traced.spans()
    root, chat = found.named("trivet rag"), found.named("chat scripted")
    assert {span.trace_id.hex() for span in found.spans} == {TRACE}
    assert root.parent_span_id.hex() == SPAN
    assert root.kind == Span.SPAN_KIND_SERVER
    parts = [span for span in found.spans if span is not root]
    assert {span.name.split()[0] for span in parts} == {"admission", "retrieval", "chat"}
    for span in parts:
        assert span.parent_span_id == root.span_id
        assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= root.end_time_unix_nano
    told = attributes(chat)
    receipt = next(iter(traced.served.counted))
    assert told["gen_ai.usage.input_tokens"] == receipt.input_tokens
    assert told["gen_ai.usage.output_tokens"] == 3
    assert attributes(root)["trivet.variant"] == "rag"
    assert attributes(root)["rpc.response.status_code"] == "OK"
    assert found.resources[0]["service.name"] == "trivet"
    assert found.resources[0]["service.instance.id"] == "here"
    assert receipt.trace_id == TRACE
    everything = str(found.spans)
    assert "secret question" not in everything
    assert "one two three" not in everything


async def ended(traced: Traced, how: str) -> None:
    """A request that ends in one of the ways that the usual interceptor gets wrong, and some others."""
    backend, stub = traced.served.backend, traced.served.stub
    backend.interval, backend.script = 0.02, ["word "] * 200
    if how == "CANCELLED":
        call = stub.GenerateStream(request(), metadata=[PARENT])
        await call.read()
        call.cancel()
    elif how == "DEADLINE_EXCEEDED":
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Generate(request(), timeout=0.2, metadata=[PARENT])
    elif how == "INTERNAL":
        traced.served.retriever.failure = RuntimeError("a bug")
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Generate(request(route="strict"), metadata=[PARENT])
    elif how == "UNAVAILABLE":
        backend.ready = False
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Generate(request(), metadata=[PARENT])
    elif how == "NOT_FOUND":
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Generate(request(route="nothing"), metadata=[PARENT])
    else:
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Generate(request(text=" "), metadata=[PARENT])
    async with asyncio.timeout(60):
        while not traced.served.counted:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("how", "wrong"),
    [
        ("CANCELLED", False),
        ("DEADLINE_EXCEEDED", True),
        ("INTERNAL", True),
        ("UNAVAILABLE", True),
        ("NOT_FOUND", False),
        ("INVALID_ARGUMENT", False),
    ],
)
async def test_what_ended_a_request_is_told(traced: Traced, how: str, wrong: bool) -> None:
    await ended(traced, how)
    root = (await traced.spans()).named("trivet")
    assert attributes(root)["rpc.response.status_code"] == how
    assert root.status.code == (Status.STATUS_CODE_ERROR if wrong else Status.STATUS_CODE_UNSET)
    assert root.end_time_unix_nano >= root.start_time_unix_nano


async def test_one_that_its_caller_does_not_trace_is_not(traced: Traced) -> None:
    await traced.served.stub.Generate(request(), metadata=[("traceparent", f"00-{TRACE}-{SPAN}-00")])
    assert (await traced.spans()).spans == []
    (receipt,) = traced.served.counted
    assert (receipt.trace_id, receipt.trace_sampled) == (TRACE, False)


async def test_over_http_as_well(traced: Traced) -> None:
    body = {"model": "plain", "messages": [{"role": "user", "content": "x"}]}
    async with httpx.AsyncClient(base_url=f"http://{traced.served.http}") as asking:
        answer = await asking.post("/v1/chat/completions", json=body, headers=dict([PARENT]))
    assert answer.json()["trivet"]["receipt"]["trace_id"] == TRACE
    assert (await traced.spans()).named("trivet plain").parent_span_id.hex() == SPAN


async def test_a_collector_that_is_away_stops_nobody(tmp_path: Path) -> None:
    tracer = Tracer(TracerSettings("http://127.0.0.1:1/v1/traces", "1", "here"))
    async with gateway(tmp_path, begin_trace=Sampler(1.0).begin, on_receipt=tracer.record) as served:
        for _ in range(5):
            assert (await served.stub.Generate(request())).text == "one two three"
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.to_thread(tracer.close)
        assert loop.time() - began < LAST + TIMEOUT + 3, "a server that stops does not wait for it for long"
