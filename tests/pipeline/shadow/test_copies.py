"""What a copy is: the same question to the candidate, unseen, unbilled, compared with the answer that was given."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.gateway.harness import Gateway, failure, gateway, request
from tests.support.shadow import CANDIDATE, DRAWN, SHADOWED, route_of, settled, undrawn
from trivet.api.v1 import inference_pb2
from trivet.metering.receipt_log import from_json, to_json
from trivet.routing.arms import is_shadowed
from trivet.testing import ScriptedBackend
from trivet.types.budget import Limit, LimitSet, Owner, Period, Unit
from trivet.types.generation import RequestedCall
from trivet.types.receipt import Receipt, ShadowPair, UnitSource
from trivet.types.request import KeyRole
from trivet.types.variant import CacheScope

SCHEMA = {"type": "object", "properties": {"queue": {"enum": ["a", "b"]}}, "required": ["queue"]}
KEYS = [("client", "acme", KeyRole.CLIENT), ("operator", "acme", KeyRole.OPERATOR)]


@pytest.fixture
def candidate() -> ScriptedBackend:
    return ScriptedBackend(["one ", "two ", "four"], name=CANDIDATE)


@pytest.fixture
async def served(tmp_path: Path, candidate: ScriptedBackend) -> AsyncIterator[Gateway]:
    routes = [
        route_of("ask"),
        route_of("facts", index="facts"),
        route_of("private", cache=CacheScope.TENANT),
        route_of("canary", rollout=replace(SHADOWED, state="canary", step=0, shadow_share=0.0)),
        route_of("away", rollout=replace(SHADOWED, local=True)),
        route_of("held", rollout=replace(SHADOWED, holdout=0.999)),
    ]
    async with gateway(tmp_path, more_routes=routes, more_backends=[candidate]) as running:
        yield running


async def ask(served: Gateway, route: str = "ask", unit: str = DRAWN, **fields: Any) -> inference_pb2.GenerateResponse:
    answer = await served.stub.Generate(request(route, unit_id=unit, **fields))
    await settled(served)
    return answer


def copies(served: Gateway) -> list[Receipt]:
    return [receipt for receipt in served.counted if receipt.shadow]


async def test_a_request_of_a_drawn_unit_is_copied_to_the_candidate(served: Gateway) -> None:
    answer = await ask(served)
    (real, copy) = served.counted
    assert (answer.text, real.variant, real.shadow, real.shadow_pair) == ("one two three", "old", False, None)
    assert (copy.variant, copy.shadow, copy.account, copy.code) == ("new", True, "shadow", "OK")
    assert copy.shadow_pair == ShadowPair(real.request_id, False, round(12 / 13, 6), round(12 / 13, 6) / 2)
    assert copy.request_id != real.request_id
    same = ("tenant", "route", "rollout", "rollout_step", "rollout_revision", "unit_hash", "text_hash", "unit_source")
    assert [getattr(copy, name) for name in same] == [getattr(real, name) for name in same]


async def test_the_same_text_agrees_wholly(served: Gateway, candidate: ScriptedBackend) -> None:
    candidate.script = list(served.backend.script)
    await ask(served)
    (copy,) = copies(served)
    assert copy.shadow_pair is not None
    assert (copy.shadow_pair.equal, copy.shadow_pair.agreement) == (True, 1.0)


async def test_functions_that_are_to_be_called_are_compared_and_their_ids_are_not(
    served: Gateway, candidate: ScriptedBackend
) -> None:
    candidate.script = served.backend.script = ["well"]
    for real, copy, equal in (("{}", "{}", True), ("{}", '{"at": 1}', False)):
        served.backend.tool_calls = (RequestedCall("look", real, id="a"),)
        candidate.tool_calls = (RequestedCall("look", copy, id="b"),)
        await ask(served)
        pair = copies(served)[-1].shadow_pair
        assert pair is not None
        assert pair.equal is equal


async def test_a_copy_asks_what_its_original_asked(served: Gateway, candidate: ScriptedBackend) -> None:
    await ask(served, seed=7, temperature=0.5, max_tokens=2, stop=["x"], labels={"team": "blue"})
    (real,), (copy,) = served.backend.requests, candidate.requests
    assert (copy.token_ids, copy.sampling) == (real.token_ids, real.sampling)
    assert (copy.sampling.seed, copy.sampling.temperature, copy.sampling.max_tokens) == (7, 0.5, 2)
    assert copy.priority > real.priority
    assert copies(served)[0].labels == {}


async def test_a_copy_searches_as_its_tenant_and_shares_its_cache_alone(
    tmp_path: Path, candidate: ScriptedBackend
) -> None:
    routes = [route_of("facts", index="facts"), route_of("private", cache=CacheScope.TENANT)]
    async with gateway(tmp_path, keys=KEYS, more_routes=routes, more_backends=[candidate]) as served:
        for route in ("facts", "private"):
            metadata = [("authorization", "Bearer client")]
            await served.stub.Generate(request(route, unit_id=DRAWN), metadata=metadata)
            await settled(served)
    assert [query.tenant for query in served.retriever.queries] == ["acme", "acme"]
    assert candidate.requests[1].cache_salt == "acme"
    assert [copy.tenant for copy in copies(served)] == ["acme", "acme"]
    assert copies(served)[0].index == "other-facts", "the candidate's own index"


async def test_the_tenant_pays_for_its_own_answer_alone(served: Gateway, candidate: ScriptedBackend) -> None:
    candidate.script = ["w "] * 50
    await ask(served)
    (real, copy) = served.counted
    assert copy.cost.total is not None
    assert real.cost.total is not None
    for component, value in (("input", copy.cost.input), ("output", copy.cost.output)):
        assert value is not None
        told = served.metric("shadow_cost_usd_total", route="ask", variant="new", component=component)
        assert told == pytest.approx(value / 1e9)
        assert served.metric("cost_usd_total", route="ask", variant="new", component=component) == 0
    assert served.metric("shadow_tokens_total", route="ask", variant="new", kind="output") == 50
    assert served.metric("tokens_total", route="ask", variant="new", kind="output") == 0
    assert served.metric("requests_total", route="ask", variant="new", code="OK") == 0
    assert served.metric("requests_total", route="ask", variant="old", code="OK") == 1
    assert served.metric("request_duration_seconds_count", route="ask", variant="new") == 0
    assert served.metric("shadow_total", route="ask", outcome="compared") == 1


async def test_a_budget_counts_what_its_tenant_asked_alone(tmp_path: Path, candidate: ScriptedBackend) -> None:
    limits = LimitSet(
        by_tenant={"public": (Limit(Owner.TENANT, "public", Period.MONTH, Unit.REQUESTS, 3, warn_at=1.0),)}
    )
    async with gateway(tmp_path, more_routes=[route_of("ask")], more_backends=[candidate], limits=limits) as served:
        for _ in range(3):
            await ask(served)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(served)
        assert failure(refused.value).reason == "BUDGET_EXCEEDED"
        assert len(copies(served)) == 3


async def test_nobody_can_ask_for_a_copys_receipt(served: Gateway) -> None:
    answer = await ask(served)
    (copy,) = copies(served)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await served.stub.GetReceipt(inference_pb2.GetReceiptRequest(request_id=copy.request_id))
    assert failure(refused.value).code == "NOT_FOUND"
    found = await served.stub.GetReceipt(inference_pb2.GetReceiptRequest(request_id=answer.receipt.request_id))
    assert not found.receipt.shadow
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await served.stub.SubmitFeedback(inference_pb2.SubmitFeedbackRequest(request_id=copy.request_id, score=1))
    assert failure(refused.value).code == "NOT_FOUND"


async def test_the_log_has_the_copy_with_its_pair(served: Gateway) -> None:
    await ask(served)
    assert served.receipts.flush()
    line = json.loads((served.folder / "receipts.jsonl").read_text().splitlines()[-1])
    (copy,) = copies(served)
    assert (line["shadow"], line["account"]) == (True, "shadow")
    assert line["shadow_pair"]["request_id"] == served.counted[0].request_id
    assert from_json(line) == copy
    full = replace(copy, shadow_pair=ShadowPair("r", True, 1.0, 1.0, True, ("retrieval_timeout",)))
    assert from_json(json.loads(json.dumps(to_json(full)))) == full


@pytest.mark.parametrize(
    ("route", "unit", "why"),
    [
        ("ask", undrawn(), "its unit was not drawn"),
        ("ask", "", "it named no unit"),
        ("canary", DRAWN, "the state is another one"),
        ("away", DRAWN, "the gateway acts on its own"),
        ("held", DRAWN, "its unit is held out"),
    ],
)
async def test_others_are_not_copied(served: Gateway, route: str, unit: str, why: str) -> None:
    await ask(served, route, unit)
    assert copies(served) == [], why
    assert served.metric("shadow_total", route=route, outcome="compared") == 0


async def test_what_a_tester_chose_and_what_failed_is_not_copied(tmp_path: Path, candidate: ScriptedBackend) -> None:
    routes = [route_of("ask")]
    async with gateway(tmp_path, keys=KEYS, more_routes=routes, more_backends=[candidate]) as served:
        metadata = [("authorization", "Bearer operator"), ("x-trivet-variant", "old")]
        await served.stub.Generate(request("ask", unit_id=DRAWN), metadata=metadata)
        served.backend.ready = False
        with pytest.raises(grpc.aio.AioRpcError):
            await served.stub.Generate(request("ask", unit_id=DRAWN), metadata=metadata[:1])
        await settled(served)
        assert [receipt.unit_source for receipt in served.counted] == [UnitSource.FORCED, UnitSource.REQUEST]
        assert candidate.requests == []


async def test_both_forms_are_in_the_pair(tmp_path: Path, candidate: ScriptedBackend) -> None:
    candidate.script = ['{"queue": "c"}']
    route = route_of("ask", json_schema=SCHEMA)
    backend = ScriptedBackend(['{"queue": "a"}'])
    async with gateway(tmp_path, backend=backend, more_routes=[route], more_backends=[candidate]) as served:
        await ask(served)
    (copy,) = copies(served)
    assert copy.format_valid is False
    assert copy.shadow_pair == ShadowPair(served.counted[0].request_id, False, 1.0, 0.0, True)


async def test_a_copy_that_fails_by_its_variants_fault_agrees_with_nothing(
    served: Gateway, candidate: ScriptedBackend
) -> None:
    candidate.script = []  # a stream without an answer's end
    await ask(served)
    (copy,) = copies(served)
    assert copy.code != "OK"
    assert copy.shadow_pair is not None
    assert copy.shadow_pair.agreement == 0
    assert served.metric("shadow_total", route="ask", outcome="failed") == 1


async def test_an_engine_that_went_away_says_nothing_of_the_variant(
    served: Gateway, candidate: ScriptedBackend
) -> None:
    candidate.ready = False
    await ask(served)
    (copy,) = copies(served)
    assert (copy.code, copy.shadow_pair) == ("UNAVAILABLE", None)
    assert served.metric("shadow_total", route="ask", outcome="unavailable") == 1


def test_the_draw_is_sticky_monotone_and_its_own() -> None:
    units = [f"unit-{number}" for number in range(2000)]
    tenth = {unit for unit in units if is_shadowed("salt", unit, 0.1)}
    half = {unit for unit in units if is_shadowed("salt", unit, 0.5)}
    assert 150 < len(tenth) < 250
    assert tenth < half
    assert all(is_shadowed("salt", unit, 1.0) for unit in units)
    assert not any(is_shadowed("salt", unit, 0.0) for unit in units)
    assert {unit for unit in units if is_shadowed("another", unit, 0.1)} != tenth
    for share in (-0.1, 1.1):
        with pytest.raises(ValueError, match="expected a number from 0 to 1"):
            is_shadowed("salt", "unit", share)


async def test_a_copy_of_a_streamed_answer_is_made_too(served: Gateway) -> None:
    events = [event async for event in served.stub.GenerateStream(request("ask", unit_id=DRAWN))]
    assert events[-1].final.text == "one two three"
    await settled(served)
    assert len(copies(served)) == 1
