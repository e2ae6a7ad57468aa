"""Documents with fields come in over HTTP, and conditions on them over gRPC and HTTP: each tenant finds what a plain
filter keeps of what it may see."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.gateway.harness import Gateway, failure, gateway, variant
from tests.support.retrieval.field_conditions import DOCUMENTS, TYPES, documents, keeps, wheres
from trivet.api.v1 import inference_pb2
from trivet.retrieval.service import IndexService
from trivet.types.metadata.where import parse_where
from trivet.types.request import KeyRole
from trivet.types.variant import RetrievalSettings, Route

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding, pytest.mark.timeout(600)]

QUESTION = "What do the notes say about lamps?"
TENANTS = ("acme", "bolt")
KEYS = (("staff", "staff", KeyRole.OPERATOR), *((name, name, KeyRole.CLIENT) for name in TENANTS))
CHEAP = {"field": "price", "lt": 3}


def routes() -> list[Route]:
    """One that asks nothing of fields, and one whose variant does."""
    made = []
    for name, where in (("notes", None), ("cheap", CHEAP)):
        retrieval = RetrievalSettings(
            "handbook", top_k=DOCUMENTS, collapse=False, where=None if where is None else parse_where(where)
        )
        made.append(
            Route(name, {"v": replace(variant("v"), retrieval=retrieval)}, {"v": 1}, name, retrieval_deadline=60)
        )
    return made


async def over_grpc(running: Gateway, tenant: str, route: str, where: dict[str, Any]) -> set[str]:
    asked = inference_pb2.RetrieveRequest(route=route, text=QUESTION, where=where)
    response = await running.stub.Retrieve(asked, metadata=(("authorization", f"Bearer {tenant}"),), timeout=60)
    return {one.document_id for one in response.citations}


async def over_http(web: httpx.AsyncClient, tenant: str, route: str, where: dict[str, Any]) -> set[str]:
    response = await web.post(
        "/v1/retrieve",
        json={"route": route, "text": QUESTION, "where": where},
        headers={"authorization": f"Bearer {tenant}"},
    )
    assert response.status_code == 200, response.text
    return {one["document_id"] for one in response.json().get("citations", [])}  # an empty list is left out


async def fill(web: httpx.AsyncClient, there: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Each tenant brings its own, the operator those that all share."""
    for (tenant, id_), fields in there.items():
        body = {"index": "handbook", "document": {"id": id_, "text": f"Note {id_} about lamps.", "fields": fields}}
        told = await web.post("/v1/documents", json=body, headers={"authorization": f"Bearer {tenant or 'staff'}"})
        assert told.status_code == 200, told.text


async def test_each_tenant_finds_what_a_plain_filter_keeps_of_its_own_and_shared_ones(
    make_service: Callable[..., Awaitable[IndexService]], tmp_path: Path
) -> None:
    service = await make_service(fields=TYPES)
    there, loop = documents(), asyncio.get_running_loop()
    async with (
        gateway(
            tmp_path, http=True, keys=KEYS, searched=service, indexes=service, more_routes=routes(), max_running=8
        ) as running,
        httpx.AsyncClient(base_url=f"http://{running.http}", timeout=60) as web,
    ):
        await fill(web, there)

        def expected(tenant: str, *asked: dict[str, Any]) -> set[str]:
            seen = {key[1]: fields for key, fields in there.items() if key[0] in ("", tenant)}
            return {id_ for id_, fields in seen.items() if all(keeps(one, fields) for one in asked)}

        async def both(where: dict[str, Any], tenant: str, route: str) -> tuple[set[str], set[str]]:
            return (await over_grpc(running, tenant, route, where), await over_http(web, tenant, route, where))

        @given(wheres(), st.sampled_from(TENANTS), st.sampled_from(("notes", "cheap")))
        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        def run(where: dict[str, Any], tenant: str, route: str) -> None:
            found = asyncio.run_coroutine_threadsafe(both(where, tenant, route), loop).result(120)
            wanted = expected(tenant, where, *([CHEAP] if route == "cheap" else []))
            assert found == (wanted, wanted)

        await asyncio.to_thread(run)
        # A condition that everything meets does not reach what is another's.
        everything = {"any": [{"field": "name", "exists": True}, {"field": "name", "exists": False}]}
        deepest = {"all": [{"any": [{"all": [{"field": "day", "in": ["1969-12-31", "2026-01-01"]}]}]}]}
        assert await both(deepest, "acme", "notes") == (expected("acme", deepest), expected("acme", deepest))
        assert await both(everything, "acme", "notes") == (expected("acme"), expected("acme"))
        assert expected("acme") != expected("bolt")


async def test_what_cannot_be_asked_is_refused_by_both_doors(
    make_service: Callable[..., Awaitable[IndexService]], tmp_path: Path
) -> None:
    service = await make_service(fields=TYPES)
    async with (
        gateway(tmp_path, http=True, keys=KEYS, searched=service, indexes=service, more_routes=routes()) as running,
        httpx.AsyncClient(base_url=f"http://{running.http}", timeout=60) as web,
    ):
        for where, said in (
            ({"field": "colour", "equals": "red"}, "'colour' is not declared"),
            ({"field": "price", "equals": "3"}, "expected a number"),
            ({"field": "price"}, "expected one test"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await over_grpc(running, "acme", "notes", where)
            told = failure(error.value)
            assert (told.code, told.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
            assert said in told.fields["where"]
            response = await web.post(
                "/v1/retrieve",
                json={"route": "notes", "text": QUESTION, "where": where},
                headers={"authorization": "Bearer acme"},
            )
            assert response.status_code == 400
            assert said in response.text
        body = {"index": "handbook", "document": {"id": "x", "text": "Text.", "fields": {"price": "free"}}}
        told_of = await web.post("/v1/documents", json=body, headers={"authorization": "Bearer acme"})
        assert told_of.status_code == 400
        assert "field 'price': 'free', expected a number" in told_of.text
