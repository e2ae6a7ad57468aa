"""Tenants see their own documents and the shared ones: any documents, any filters, over the real vector engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from trivet.metering.metrics import Metrics
from trivet.pipeline.context import ContextRetrieval
from trivet.pipeline.passages import BoundedRetriever
from trivet.retrieval.service import IndexService
from trivet.retrieval.settings import IndexSettings
from trivet.retrieval.snapshot.resources import IndexResources
from trivet.types.passage import Document, DocumentFormat, SearchQuery
from trivet.types.request import GenerateCall, Message
from trivet.types.variant import FewShotSettings, RetrievalSettings, Route

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]

T = TypeVar("T")
OpenStores = Callable[[], IndexResources]
TENANTS = ("acme", "acm", "bolt", "a.b", "a-b")  # near each other, and with what ids are made of
OWNERS = ("", *TENANTS)
IDS = ("plan", "a/b", "x@1")
TAGS = ("eu", "new")
QUESTIONS = ("What is the colour of the lamp?", "lamp colour", "secret")


@dataclass(frozen=True)
class Write:
    """One upsert, or a deletion where `tags` is None."""

    tenant: str
    id: str
    tags: tuple[str, ...] | None
    n: int

    @property
    def text(self) -> str:
        return f"The colour of the lamp is the secret number {self.n} of {self.tenant or 'everybody'}."


writes = st.lists(
    st.builds(
        Write,
        st.sampled_from(OWNERS),
        st.sampled_from(IDS),
        st.none() | st.lists(st.sampled_from(TAGS), unique=True).map(tuple),
        st.integers(0, 99),
    ),
    min_size=3,
    max_size=10,
)
searches = st.lists(
    st.tuples(
        st.sampled_from(TENANTS), st.sampled_from(QUESTIONS), st.lists(st.sampled_from(TAGS), unique=True).map(tuple)
    ),
    min_size=2,
    max_size=6,
)


@pytest.mark.timeout(600)
async def test_no_search_finds_anything_of_anybody_else_and_each_finds_all_of_its_own(service: IndexService) -> None:
    loop = asyncio.get_running_loop()

    def wait(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(200)

    async def write(one: Write, there: dict[tuple[str, str], Write]) -> None:
        if one.tags is None:
            deleted = await service.delete("handbook", [one.id], one.tenant)
            assert deleted == ([one.id] if there.pop((one.tenant, one.id), None) else [])
            return
        document = Document(one.id, one.text.encode(), DocumentFormat.TEXT, tags=one.tags, tenant=one.tenant)
        before = there.get((one.tenant, one.id))
        done = await service.upsert("handbook", document)
        same = before is not None and (before.text, set(before.tags or ())) == (one.text, set(one.tags))
        assert (done.id, done.unchanged) == (one.id, same)
        there[one.tenant, one.id] = one

    # Not shrunk: what a failed example leaves behind would fail the next ones.
    @given(writes, searches)
    @settings(
        max_examples=4, deadline=None, phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck)
    )
    def run(changes: list[Write], asked: list[tuple[str, str, tuple[str, ...]]]) -> None:
        there: dict[tuple[str, str], Write] = {}
        try:
            for change in changes:
                wait(write(change, there))
            for tenant, question, tags in asked:  # the same questions by several tenants: query vectors are cached
                query = SearchQuery("handbook", question, tenant, top_k=50, tags=tags)
                found = wait(service.search(query)).passages
                visible = {
                    (owner, id_): one.text
                    for (owner, id_), one in there.items()
                    if owner in ("", tenant) and set(tags) <= set(one.tags or ())
                }
                assert sorted(one.text for one in found) == sorted(visible.values())
                assert len({one.id for one in found}) == len(found)
                others = set(TENANTS) - {tenant}
                assert not any(f"of {other}." in one.text for one in found for other in others)
        finally:
            for owner, id_ in list(there):
                wait(service.delete("handbook", [id_], owner))

    await asyncio.to_thread(run)


async def test_a_tenant_does_not_learn_that_anothers_document_is_there(service: IndexService) -> None:
    def document(tenant: str, text: str) -> Document:
        return Document("plan", text.encode(), DocumentFormat.TEXT, tenant=tenant)

    for n in range(3):
        await service.upsert("handbook", document("acme", f"Version {n}."))
    first = await service.upsert("handbook", document("bolt", "Version 0."))
    assert (first.revision, first.unchanged) == (1, False)  # as if nobody else had one
    assert await service.delete("handbook", ["plan"], "zed") == []
    assert await service.delete("handbook", ["plan"]) == []
    assert await service.delete("handbook", ["plan"], "bolt") == ["plan"]
    found = await service.search(SearchQuery("handbook", "version", "acme", top_k=5))
    assert [one.text for one in found.passages] == ["Version 2."]
    assert "acme" not in "".join(
        one.id for one in (await service.search(SearchQuery("handbook", "version", "bolt", top_k=5))).passages
    )


def example(n: int, owner: str) -> bytes:
    return f'{{"question": "What is secret {n}?", "answer": "The secret of {owner or "everybody"}."}}\n'.encode()


async def test_examples_and_passages_of_a_request_are_the_tenants_own(
    open_stores: OpenStores, request: pytest.FixtureRequest
) -> None:
    """The same question of each tenant, one after the other and at once, with the same texts in every tenant's name."""
    made: IndexSettings = request.getfixturevalue("settings")  # a name that hypothesis has here
    named = {name: replace(made, name=f"{made.name}-{name}") for name in ("facts", "examples")}
    service = IndexService(open_stores(), named)
    await service.start()
    for owner in OWNERS:
        text = f"The secret is that of {owner or 'everybody'}."
        await service.upsert("facts", Document("plan", text.encode(), DocumentFormat.TEXT, tenant=owner))
        for same in ("The lamp is green and the hub is blue.", "The LAMP is green, and the hub is blue."):
            await service.upsert(
                "facts", Document(f"same{len(same)}", same.encode(), DocumentFormat.TEXT, tenant=owner)
            )
        content = b"".join(example(n, owner) for n in range(3))
        await service.upsert("examples", Document("e", content, DocumentFormat.JSON_LINES, tenant=owner))
    context = ContextRetrieval(BoundedRetriever(service, Metrics(CollectorRegistry())))
    wanted = RetrievalSettings("facts", top_k=20, few_shot=FewShotSettings("examples", k=8))
    route = Route("r", {}, {}, "r", retrieval_deadline=60)

    async def seen(tenant: str) -> str:
        call = GenerateCall("id", tenant, "r", (Message("user", "What is the secret of the lamp?"),), arrived=0.0)
        found = await context.find(call, route, wanted, asyncio.get_running_loop().time() + 60, None)
        assert not found.degraded
        assert {one.answer for one in found.examples} == {"The secret of everybody.", f"The secret of {tenant}."}
        assert len({one.id for one in found.examples}) == len(found.examples)
        owners = {one.id.rpartition("!")[0] for one in found.passages}
        assert owners <= {"", tenant}
        assert len([one for one in found.passages if one.document_id.startswith("same")]) == 1
        return " ".join([*(one.text for one in found.passages), *(one.answer for one in found.examples)])

    for tenant in TENANTS:
        text = await seen(tenant)
        assert f"that of {tenant}." in text
        assert not any(f"of {other}." in text for other in set(TENANTS) - {tenant})
    await asyncio.gather(*(seen(tenant) for tenant in TENANTS * 4))
    await service.close()
