"""The Inference service over a real channel, with a scripted engine: contract, deadlines, cancellation, bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.gateway.harness import Failure, Gateway, failure, gateway, request
from trivet.api.v1 import inference_pb2
from trivet.errors import DeadlineExceeded, RetrievalUnavailable
from trivet.pipeline.generation import deadline_ended
from trivet.prompts.template.source import Placeholder, PromptSource, Turn, Variable
from trivet.rpc.request.calls import generate_call
from trivet.types.receipt import Receipt
from trivet.types.request import Caller, KeyRole
from trivet.types.variant import Route, Sampling, Variant, VersionRef

PUBLIC = Caller("public", KeyRole.OPERATOR)
KEYS = [("alpha", "acme", KeyRole.CLIENT), ("beta", "globex", KeyRole.CLIENT)]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path) as running:
        yield running


async def fails(call: object) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call  # type: ignore[misc]
    return failure(error.value)


async def until(condition: object, seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)


async def test_an_answer_with_its_receipt(served: Gateway) -> None:
    call = served.stub.Generate(request("rag", labels={"team": "x"}), metadata=[("x-request-id", "abc-1")])
    response = await call
    assert response.text == "one two three"
    assert response.finish_reason == 1
    assert [item.document_id for item in response.citations] == ["doc-a", "doc-b"]
    receipt = response.receipt
    assert (receipt.request_id, receipt.tenant, receipt.variant, receipt.code) == ("abc-1", "public", "rag", "OK")
    assert list(receipt.passage_ids) == ["doc-a#0", "doc-b#0"]
    assert receipt.output_tokens == 3
    assert receipt.HasField("retrieval_ms")
    assert receipt.cost.total == sum((receipt.cost.input, receipt.cost.cached, receipt.cost.output))
    trailers = dict(await call.trailing_metadata())
    assert (trailers["x-request-id"], trailers["x-trivet-variant"]) == ("abc-1", "rag")
    again = await served.stub.GetReceipt(inference_pb2.GetReceiptRequest(request_id="abc-1"))
    assert again.receipt.output_tokens == 3


async def test_a_stream_ends_with_the_whole_answer(served: Gateway) -> None:
    events = [event async for event in served.stub.GenerateStream(request())]
    deltas = [event.delta.text for event in events if event.HasField("delta")]
    assert deltas == ["one ", "two ", "three"]
    assert events[-1].final.text == "".join(deltas)


async def test_what_was_cached_was_expected(served: Gateway) -> None:
    first = (await served.stub.Generate(request(text="a"))).receipt
    second = (await served.stub.Generate(request(text="b"))).receipt
    assert (first.cached_tokens, first.expected_cached_tokens) == (0, 0)
    assert second.cached_tokens == second.expected_cached_tokens > 0


async def test_tenants_of_a_private_cache_share_the_static_prefix_alone(tmp_path: Path) -> None:
    async with gateway(tmp_path, keys=KEYS) as served:
        counts = [await _private(served, key) for key in ("alpha", "beta", "alpha")]
    (_, cold, _), (_, prefix, expected), (_, own, _) = counts
    assert [tenant for tenant, *_ in counts] == ["acme", "globex", "acme"]
    assert cold == 0
    assert prefix == expected > 0
    assert own > prefix


async def test_tenants_share_nothing_where_the_engine_salts_the_whole_prompt(tmp_path: Path) -> None:
    async with gateway(tmp_path, keys=KEYS) as served:
        served.backend.salts_after_prefix = False
        counts = [await _private(served, key) for key in ("alpha", "beta", "alpha")]
    assert [(tenant, cached > 0, expected > 0) for tenant, cached, expected in counts] == [
        ("acme", False, False),
        ("globex", False, False),
        ("acme", True, True),
    ]


async def _private(served: Gateway, key: str) -> tuple[str, int, int]:
    """(tenant, cached, expected) of the same long question."""
    metadata = [("authorization", f"Bearer {key}")]
    receipt = (await served.stub.Generate(request("private", text="why " * 100), metadata=metadata)).receipt
    return receipt.tenant, receipt.cached_tokens, receipt.expected_cached_tokens


async def test_keys(tmp_path: Path) -> None:
    async with gateway(tmp_path, keys=KEYS) as served:
        assert (await fails(served.stub.Generate(request()))).code == "UNAUTHENTICATED"
        for wrong in ("Bearer gamma", "Basic alpha", "Bearer", "alpha"):
            said = await fails(served.stub.Generate(request(), metadata=[("authorization", wrong)]))
            assert said.code == "UNAUTHENTICATED"
        owner, other = [("authorization", "Bearer alpha")], [("authorization", "Bearer beta")]
        receipt = (await served.stub.Generate(request(), metadata=owner)).receipt
        ask = inference_pb2.GetReceiptRequest(request_id=receipt.request_id)
        assert (await fails(served.stub.GetReceipt(ask, metadata=other))).code == "NOT_FOUND"
        assert (await served.stub.GetReceipt(ask, metadata=owner)).receipt.tenant == "acme"
        search = inference_pb2.RetrieveRequest(index="facts", text="x")
        assert (await fails(served.stub.Retrieve(search, metadata=owner))).code == "PERMISSION_DENIED"
        assert served.backend.requests[0].cache_salt is None


WRONG = {
    "route": inference_pb2.GenerateRequest(messages=[inference_pb2.Message(role="user", content="x")]),
    "messages": inference_pb2.GenerateRequest(route="plain"),
    "messages[0].content": request(text="  "),
    "messages[0].role": inference_pb2.GenerateRequest(
        route="plain", messages=[inference_pb2.Message(role="system", content="x")]
    ),
    "max_tokens": request(max_tokens=0),
    "temperature": request(temperature=-1),
    "seed": request(seed=-1),
    "stop": request(stop=[""]),
    "retrieval.top_k": request(retrieval=inference_pb2.RetrievalOptions(top_k=0)),
    "variables.nope": request(variables={"nope": "x"}),
    "labels": request(labels={str(n): "x" for n in range(9)}),
    "unit_id": request(unit_id="x" * 300),
}


@pytest.mark.parametrize("field", WRONG)
async def test_a_wrong_field_is_named(served: Gateway, field: str) -> None:
    said = await fails(served.stub.Generate(WRONG[field]))
    assert said.code == "INVALID_ARGUMENT"
    assert field in said.fields
    assert served.backend.requests == []


async def test_what_any_variant_of_the_route_declares_is_accepted(tmp_path: Path) -> None:
    names = {"a": "shop", "b": "language"}
    prompts = [
        PromptSource(
            VersionRef(name, "1"),
            tmp_path / f"{name}.md",
            (Turn("system", ("Only facts. ", Placeholder(variable))),),
            {variable: Variable(variable, "none")},
        )
        for name, variable in names.items()
    ]
    variants = {
        name: Variant(name, "scripted", VersionRef(name, "1"), sampling=Sampling(max_tokens=64)) for name in names
    }
    route = Route("both", variants, {"a": 1, "b": 1}, "both")
    async with gateway(tmp_path, more_routes=[route], more_prompts=prompts) as served:
        both = {"shop": "Kestrel", "language": "Welsh"}
        answers = [
            await served.stub.Generate(request("both", unit_id=f"u{unit}", variables=both)) for unit in range(20)
        ]
        assert {answer.receipt.variant for answer in answers} == {"a", "b"}
        for answer in answers:
            assert answer.receipt.code == "OK"
        said = await fails(served.stub.Generate(request("both", variables={**both, "mood": "x"})))
        assert said.fields == {"variables.mood": "unknown, expected one of: language, shop"}


async def test_all_wrong_fields_are_told_at_once(served: Gateway) -> None:
    wrong = request(text="", max_tokens=-1)
    assert set((await fails(served.stub.Generate(wrong))).fields) == {"messages[0].content", "max_tokens"}


async def test_zero_is_not_unset(served: Gateway) -> None:
    await served.stub.Generate(request(temperature=0.0, seed=0))
    await served.stub.Generate(request(temperature=0.5))
    first, second = (item.sampling for item in served.backend.requests)
    assert (first.temperature, first.seed) == (0.0, 0)
    assert (second.temperature, second.seed) == (0.5, None)


async def test_an_unknown_route(served: Gateway) -> None:
    said = await fails(served.stub.Generate(request("nope")))
    assert (said.code, said.reason) == ("NOT_FOUND", "UNKNOWN_ROUTE")
    assert said.initial == {}  # trailers-only: nothing was sent before the error
    assert said.receipt is not None
    assert said.receipt.code == "NOT_FOUND"
    assert served.metric("requests_total", route="unknown", variant="none", code="NOT_FOUND") == 1


async def test_a_prompt_that_does_not_fit(served: Gateway) -> None:
    said = await fails(served.stub.Generate(request(text="word " * 3000)))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "PROMPT_TOO_LONG")


async def test_an_unknown_exception_is_internal_and_shows_nothing(served: Gateway) -> None:
    served.retriever.failure = RuntimeError("secret detail")
    said = await fails(served.stub.Generate(request("rag"), metadata=[("x-request-id", "id-9")]))
    assert said.code == "INTERNAL"
    assert "secret" not in said.message
    assert "id-9" in said.message


@pytest.mark.parametrize("how", ["down", "slow"])
async def test_retrieval_down_or_slow_by_the_routes_policy(served: Gateway, how: str) -> None:
    if how == "down":
        served.retriever.failure = RetrievalUnavailable("the vector engine is down")
    else:
        served.retriever.delay = 30
    response = await served.stub.Generate(request("rag"), timeout=5)
    reason = "retrieval_unavailable" if how == "down" else "retrieval_timeout"
    assert list(response.receipt.degraded) == [reason]
    assert not response.citations
    said = await fails(served.stub.Generate(request("strict"), timeout=5))
    assert said.code == "UNAVAILABLE"
    assert said.retry_after == 1.0
    assert said.trailers["grpc-retry-pushback-ms"] == "1000"
    assert said.receipt is not None
    assert served.metric("degraded_total", route="rag", reason=reason) == 1


async def test_retrieval_gets_half_of_what_the_client_left(served: Gateway) -> None:
    served.retriever.delay = 30
    response = await served.stub.Generate(request("patient"), timeout=4)
    assert response.receipt.degraded == ["retrieval_timeout"]
    assert 1800 < response.receipt.retrieval_ms < 3900


class Kept:
    """A reader that keeps the receipt."""

    receipt: Receipt | None = None

    async def delta(self, text: str, choice: int) -> None:
        raise AssertionError(text)

    async def reasoning(self, text: str, choice: int) -> None:
        raise AssertionError("nothing is thought here")

    async def tool_calls(self, deltas: Any, choice: int) -> None:
        pass

    async def logprobs(self, tokens: Any, choice: int) -> None:
        pass

    def closed(self, receipt: Receipt) -> None:
        self.receipt = receipt


async def test_expired_on_arrival_never_reaches_the_engine(served: Gateway) -> None:
    # Not over the channel: gRPC rounds a deadline up, and a millisecond is enough for the scripted engine.
    now, reader = asyncio.get_running_loop().time(), Kept()
    late = generate_call(request(), request_id="late", caller=PUBLIC, arrived=now, deadline=now - 0.001, priority=5)
    with pytest.raises(DeadlineExceeded, match="had passed when the request arrived"):
        await served.generation.generate(late, reader)
    assert served.backend.requests == []
    assert reader.receipt is not None
    assert reader.receipt.code == "DEADLINE_EXCEEDED"


async def test_a_deadline_aborts_the_engines_work(served: Gateway) -> None:
    served.backend.interval = 0.05
    served.backend.script = ["word "] * 1000
    with pytest.raises(grpc.aio.AioRpcError) as error:
        async for _ in served.stub.GenerateStream(request(), timeout=0.3):
            pass
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: served.backend.aborted == 1 and served.admission.in_flight == 0)
    assert served.metric("requests_total", route="plain", variant="plain", code="DEADLINE_EXCEEDED") == 1


async def test_the_routes_maximum_holds_without_a_client_deadline(served: Gateway) -> None:
    served.backend.interval = 0.05
    served.backend.script = ["word "] * 1000
    said = await fails(served.stub.Generate(request("short")))
    assert said.code == "DEADLINE_EXCEEDED"
    assert said.receipt is not None
    assert said.receipt.output_tokens > 0
    assert served.backend.aborted == 1


async def test_a_cancelled_client_aborts_the_engines_work(served: Gateway) -> None:
    served.backend.interval = 0.02
    served.backend.script = ["word "] * 1000
    call = served.stub.GenerateStream(request(), metadata=[("x-request-id", "gone")])
    async for _ in call:
        call.cancel()
        break
    await until(lambda: served.backend.in_flight == 0 and served.admission.in_flight == 0)
    assert served.backend.aborted == 1
    receipt = (await served.stub.GetReceipt(inference_pb2.GetReceiptRequest(request_id="gone"))).receipt
    assert receipt.code == "CANCELLED"
    assert receipt.output_tokens >= 1


@pytest.mark.parametrize("timeout", [0.01, 0.03, 1.234])
async def test_what_the_deadline_ended_is_never_called_cancelled(served: Gateway, timeout: float) -> None:
    served.backend.interval = 0.01
    served.backend.script = ["word "] * 1000
    ids = [f"late-{number}" for number in range(20 if timeout < 1 else 4)]
    calls = [served.stub.Generate(request(), timeout=timeout, metadata=[("x-request-id", id_)]) for id_ in ids]
    await asyncio.gather(*calls, return_exceptions=True)
    await until(lambda: served.admission.in_flight == 0 and served.backend.in_flight == 0)
    receipts = [receipt for id_ in ids if (receipt := served.receipts.find("public", id_))]
    assert {receipt.code for receipt in receipts} <= {"DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
    if timeout > 1:  # less may pass on a busy machine before a call has come to the server
        assert "DEADLINE_EXCEEDED" in {receipt.code for receipt in receipts}


@pytest.mark.parametrize(
    ("given", "at", "ended"),
    [
        (0.03, 0.030, True),
        (0.03, 0.016, True),
        (0.03, 0.014, False),
        (1.24, 1.234, True),
        (1.24, 1.0, False),
        (60.0, 59.5, True),
        (60.0, 59.0, False),
    ],
)
async def test_a_cancellation_just_before_the_deadline_is_the_deadlines(given: float, at: float, ended: bool) -> None:
    call = generate_call(request(), request_id="x", caller=PUBLIC, arrived=5.0, deadline=5.0 + given, priority=5)
    assert deadline_ended(call, 5.0 + at) is ended
    assert not deadline_ended(replace(call, deadline=None), 5.0 + at)


async def test_a_reader_that_stops_reading_is_given_up(served: Gateway) -> None:
    served.backend.script = ["x" * 20_000] * 200
    call = served.stub.GenerateStream(request())
    await call.read()
    await until(lambda: served.admission.in_flight == 0, 60)
    assert served.metric("requests_total", route="plain", variant="plain", code="ABORTED") == 1
    assert served.backend.in_flight == 0
    call.cancel()


async def test_overload_is_refused_at_once_and_nothing_leaks(served: Gateway) -> None:
    served.backend.interval = 3600  # none of the four that run ends, so that who waits for a place waits for ever
    calls = [asyncio.ensure_future(served.stub.Generate(request())) for _ in range(80)]
    await until(lambda: sum(call.done() for call in calls) == 72)  # four run, four wait
    for call in calls:
        if not call.done():
            continue
        error = call.exception()
        assert isinstance(error, grpc.aio.AioRpcError)
        said = failure(error)
        assert (said.code, said.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
        assert said.retry_after == 1.0
        assert said.receipt is not None
    assert (served.admission.in_flight, served.backend.in_flight) == (8, 4)
    for call in calls:
        call.cancel()
    await until(lambda: served.admission.in_flight == 0 and served.backend.in_flight == 0)


async def test_an_engine_that_dies_under_a_stream(served: Gateway) -> None:
    served.backend.interval = 0.02
    served.backend.script = ["word "] * 1000
    call = served.stub.GenerateStream(request())
    await call.read()
    served.backend.ready = False
    with pytest.raises(grpc.aio.AioRpcError) as error:
        while await call.read() is not grpc.aio.EOF:
            pass
    assert failure(error.value).code == "UNAVAILABLE"
    assert failure(error.value).retry_after == 1.0


async def test_retrieve_gives_the_passages_of_the_routes_index(served: Gateway) -> None:
    found = await served.stub.Retrieve(inference_pb2.RetrieveRequest(route="rag", text="lamp", top_k=1))
    assert [item.passage_id for item in found.citations] == ["doc-a#0"]
    assert found.index == "facts"
    said = await fails(served.stub.Retrieve(inference_pb2.RetrieveRequest(route="plain", text="lamp")))
    assert said.code == "FAILED_PRECONDITION"
    served.retriever.failure = RetrievalUnavailable("down")
    said = await fails(served.stub.Retrieve(inference_pb2.RetrieveRequest(route="rag", text="lamp")))
    assert said.code == "UNAVAILABLE"


async def test_the_tenant_goes_into_the_search(tmp_path: Path) -> None:
    async with gateway(tmp_path, keys=KEYS) as served:
        await served.stub.Generate(request("rag"), metadata=[("authorization", "Bearer beta")])
        assert served.retriever.queries[0].tenant == "globex"


async def test_health_of_every_service(served: Gateway) -> None:
    async with grpc.aio.insecure_channel(served.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for ready, expected in ((True, 1), (False, 2)):
            await served.health.set_ready(ready)
            for service in ("", "trivet.api.v1.Inference", "trivet.api.v1.Admin"):
                assert (await health.Check(health_pb2.HealthCheckRequest(service=service))).status == expected
            assert (await health.Check(health_pb2.HealthCheckRequest(service="liveness"))).status == 1


async def test_a_clients_priority_is_not_the_engines(served: Gateway) -> None:
    """There it would count against other tenants; before it, it orders its own requests."""
    for priority in ("0", "9"):
        await served.stub.Generate(request(), metadata=[("x-trivet-priority", priority)])
    assert [asked.priority for asked in served.backend.requests] == [0, 0]
