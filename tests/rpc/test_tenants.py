"""Nothing of one tenant reaches another: prompts, citations, receipts, errors, metrics, the cache's salt."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest

from tests.support.gateway.harness import Gateway, failure, gateway, request, variant
from trivet.api.v1 import inference_pb2
from trivet.errors import RetrievalUnavailable
from trivet.types.passage import Passage, SearchQuery, SearchResult
from trivet.types.request import KeyRole
from trivet.types.variant import CacheScope, FewShotSettings, RetrievalSettings, Route

T = TypeVar("T")
TENANTS = ("acme", "bolt")
ROUTES = ("searched", "searched-private")


class Library:
    """Implements the Retriever port as the contract says: shared documents and the query's tenant's own."""

    def __init__(self) -> None:
        self.documents: list[tuple[str, tuple[str, ...], Passage]] = []
        self.down = False

    async def search(self, query: SearchQuery) -> SearchResult:
        if self.down:
            raise RetrievalUnavailable("down")
        seen = [
            passage
            for owner, tags, passage in self.documents
            if owner in ("", query.tenant) and set(query.tags) <= set(tags)
        ]
        if query.index == "examples":
            seen = [
                replace(one, text=f'{{"question": "{one.text}?", "answer": "{one.text}"}}', id=f"example-{one.id}")
                for one in seen
            ]
        return SearchResult(tuple(seen[: query.top_k]), "s")


def route(name: str, cache: CacheScope) -> Route:
    retrieval = RetrievalSettings("facts", top_k=8, few_shot=FewShotSettings("examples", k=2))
    made = replace(variant("v"), retrieval=retrieval)
    return Route(name, {"v": made}, {"v": 1}, name, cache=cache, retrieval_deadline=5)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[asyncio.Runner, Gateway, Library]]:
    """A gateway with a key for each tenant: the tenant's name."""
    library = Library()
    routes = [route(ROUTES[0], CacheScope.SHARED), route(ROUTES[1], CacheScope.TENANT)]
    keys = [(name, name, KeyRole.CLIENT) for name in TENANTS]
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        one = runner.run(stack.enter_async_context(gateway(tmp_path, keys=keys, searched=library, more_routes=routes)))
        yield runner, one, library
        runner.run(stack.aclose())


documents = st.lists(
    st.tuples(st.sampled_from(("", *TENANTS)), st.lists(st.sampled_from(["eu", "new"]), unique=True).map(tuple)),
    max_size=8,
)
calls = st.lists(
    st.tuples(
        st.sampled_from(TENANTS),
        st.sampled_from(ROUTES),
        st.lists(st.sampled_from(["eu", "new"]), max_size=4),
        st.booleans(),
    ),
    min_size=2,
    max_size=5,
)


def secret(owner: str, n: int) -> str:
    """A word that stands for a document: nobody else's text holds it."""
    return f"{owner or 'shared'}secret{n}"


def foreign(text: str, tenant: str) -> bool:
    return any(f"{other}secret" in text for other in TENANTS if other != tenant)


def test_nothing_of_another_tenant_is_anywhere(running: tuple[asyncio.Runner, Gateway, Library]) -> None:
    runner, one, library = running

    def run(work: Coroutine[Any, Any, T]) -> T:
        return runner.run(work)

    async def ask(tenant: str, route: str, tags: list[str], down: bool) -> tuple[str, str]:
        """Everything that came back, and the request's id."""
        library.down = down
        options = inference_pb2.RetrievalOptions(filter=tags)
        metadata = (("authorization", f"Bearer {tenant}"),)
        call = one.stub.Generate(request(route, "same question", retrieval=options), metadata=metadata)
        answer = await call
        sent = one.backend.requests[-1]
        assert sent.cache_salt == (tenant if route == ROUTES[1] else None)
        assert answer.receipt.tenant == tenant
        found = ""
        if not down:
            asked = inference_pb2.RetrieveRequest(route=route, text="same question", filter=tags)
            found = str(await one.stub.Retrieve(asked, metadata=metadata))
        return f"{answer}{found}{await call.trailing_metadata()}", answer.receipt.request_id

    async def receipt_of(request_id: str, tenant: str) -> str:
        metadata = (("authorization", f"Bearer {tenant}"),)
        try:
            return str(
                await one.stub.GetReceipt(inference_pb2.GetReceiptRequest(request_id=request_id), metadata=metadata)
            )
        except grpc.aio.AioRpcError as error:
            told = failure(error)
        return f"{told.code}: {told.message}"

    @given(documents, calls)
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    def check(owned: list[tuple[str, tuple[str, ...]]], asked: list[tuple[str, str, list[str], bool]]) -> None:
        library.documents = [
            (
                owner,
                tags,
                Passage(f"{secret(owner, n)}@1#0", secret(owner, n), "T", secret(owner, n), 1.0, 1, similarity=0.5),
            )
            for n, (owner, tags) in enumerate(owned)
        ]
        for tenant, name, tags, down in asked:
            answer, request_id = run(ask(tenant, name, tags, down))
            assert not foreign(answer, tenant)
            for other in TENANTS:
                seen = run(receipt_of(request_id, other))
                assert not foreign(seen, tenant)
                assert seen.startswith("NOT_FOUND") == (other != tenant)
                assert "secret" not in seen or other == tenant
        assert "secret" not in generate_latest(one.registry).decode()

    check()


def test_the_prompt_holds_only_what_the_tenant_may_see(running: tuple[asyncio.Runner, Gateway, Library]) -> None:
    runner, one, library = running
    passage = Passage("p@1#0", "p", "T", "x", 1.0, 1, similarity=0.5)
    lengths = {}
    for owner in TENANTS:
        library.documents = [(owner, (), replace(passage, text=secret(owner, 1)))]
        for tenant in TENANTS:
            metadata = (("authorization", f"Bearer {tenant}"),)
            runner.run(_generate(one, metadata))
            lengths[owner, tenant] = len(one.backend.requests[-1].token_ids)
    assert lengths["acme", "bolt"] == lengths["bolt", "acme"]
    assert lengths["acme", "acme"] > lengths["acme", "bolt"]


async def _generate(one: Gateway, metadata: tuple[tuple[str, str], ...]) -> Any:
    return await one.stub.Generate(request(ROUTES[0]), metadata=metadata)
