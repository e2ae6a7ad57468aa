"""Qdrant's protocol as the official client speaks it."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from qdrant_client import AsyncQdrantClient, models

from tests.support.retrieval.vector_client import DIMENSION, connect, create, points
from trivet.stores.vector_process import VectorProcess

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.process]

RED_OR_TAGGED = models.Filter(
    should=[
        models.FieldCondition(key="colour", match=models.MatchValue(value="red")),
        models.FieldCondition(key="tags", match=models.MatchAny(any=["t5", "t6"])),
    ],
    must_not=[models.FieldCondition(key="number", range=models.Range(gte=30, lt=35))],
)
FILTERS = [
    models.Filter(must=[models.FieldCondition(key="colour", match=models.MatchValue(value="green"))]),
    models.Filter(must=[models.FieldCondition(key="number", match=models.MatchAny(any=[3, 4, 999]))]),
    models.Filter(must=[models.FieldCondition(key="colour", match=models.MatchExcept(**{"except": ["red"]}))]),
    models.Filter(must_not=[models.HasIdCondition(has_id=[1, 2, 3])]),
    models.Filter(must=[models.IsNullCondition(is_null=models.PayloadField(key="nothing"))]),
    models.Filter(must=[models.IsEmptyCondition(is_empty=models.PayloadField(key="missing"))]),
    RED_OR_TAGGED,
    models.Filter(must=[RED_OR_TAGGED], must_not=[models.FieldCondition(key="number", range=models.Range(gt=20))]),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_process(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[VectorProcess]:
    """One vector process for all tests here."""
    folder: Path = tmp_path_factory.mktemp("shared")
    process = VectorProcess(folder / "vector", folder / "vector.log")
    await process.start()
    yield process
    await process.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def client(shared_process: VectorProcess) -> AsyncIterator[AsyncQdrantClient]:
    """Connected to it, and it is empty."""
    client = connect(shared_process)
    yield client
    for collection in (await client.get_collections()).collections:
        await client.delete_collection(collection.name)
    await client.close()


@pytest_asyncio.fixture(loop_scope="module")
async def both(client: AsyncQdrantClient) -> AsyncIterator[tuple[AsyncQdrantClient, AsyncQdrantClient]]:
    """The vector process and the client's own local mode, with the same 40 points."""
    local = AsyncQdrantClient(":memory:")
    for one in (client, local):
        await create(one, "c")
        await one.upsert("c", points(range(40)), wait=True)
    yield client, local
    await local.close()


async def ids(client: AsyncQdrantClient, chosen: models.Filter) -> list[Any]:
    """Ids by scrolling in small pages."""
    found, offset = [], None
    while True:
        page, offset = await client.scroll("c", scroll_filter=chosen, limit=7, offset=offset)
        found += [point.id for point in page]
        if offset is None:
            return sorted(found)


async def test_it_answers_as_the_clients_local_mode_does(both: tuple[AsyncQdrantClient, AsyncQdrantClient]) -> None:
    client, local = both
    for chosen in FILTERS:
        assert await ids(client, chosen) == await ids(local, chosen)
        assert (await client.count("c", chosen)).count == (await local.count("c", chosen)).count
    query = [random.Random(7).uniform(-1, 1) for _ in range(DIMENSION)]
    for chosen in FILTERS:
        found = [await one.query_points("c", query, using="dense", query_filter=chosen, limit=5) for one in both]
        assert [point.id for point in found[0].points] == [point.id for point in found[1].points]
        assert [point.score for point in found[0].points] == pytest.approx([p.score for p in found[1].points], abs=1e-5)


async def test_payloads_come_back_as_they_went_in(client: AsyncQdrantClient) -> None:
    await create(client, "c")
    (point,) = points([5])
    await client.upsert("c", [point], wait=True)
    (found,) = await client.retrieve("c", [5], with_payload=True)
    assert found.payload == point.payload
    (some,) = await client.retrieve("c", [5], with_payload=["number"])
    assert some.payload == {"number": 5}
    (others,) = await client.retrieve("c", [5], with_payload=models.PayloadSelectorExclude(exclude=["inner", "tags"]))
    assert others.payload == {"number": 5, "colour": "blue", "nothing": None}


async def test_vectors_come_back_with_what_is_found(both: tuple[AsyncQdrantClient, AsyncQdrantClient]) -> None:
    query = [0.5] * DIMENSION
    for wanted in (["dense"], ["dense", "terms"], True, False):
        answers = [await one.query_points("c", query, using="dense", limit=3, with_vectors=wanted) for one in both]
        found, expected = ([point.vector for point in answer.points] for answer in answers)
        if not wanted:
            assert found == expected == [None] * 3
            continue
        for vectors, others in zip(found, expected, strict=True):
            assert isinstance(vectors, dict)
            assert isinstance(others, dict)
            assert vectors["dense"] == pytest.approx(others["dense"], abs=1e-6)
            assert vectors.get("terms") == others.get("terms")
    await both[0].create_collection("one", models.VectorParams(size=2, distance=models.Distance.DOT))
    await both[0].upsert("one", [models.PointStruct(id=1, vector=[3.0, 4.0])], wait=True)
    (only,) = (await both[0].query_points("one", [1.0, 0.0], with_vectors=True)).points
    assert only.vector == [3.0, 4.0]


async def test_a_query_follows_the_reference_to_a_head(client: AsyncQdrantClient) -> None:
    """And only where it asks for fields of the head; what refers to nothing stays as it is."""
    await create(client, "c")
    head, missing = (str(uuid.uuid4()) for _ in range(2))
    made = points(range(4))
    for point, reference in zip(made, (head, head, missing, None), strict=True):
        point.payload = {"head": reference, "n": point.id} if reference else {"n": point.id}
    made.append(models.PointStruct(id=head, vector={}, payload={"kind": "head", "revision": 7, "secret": "x"}))
    await client.upsert("c", made, wait=True)

    async def heads(*fields: str) -> dict[int, Any]:
        answer = await client.query_points("c", [0.5] * DIMENSION, using="dense", with_payload=["n", *fields])
        return {(point.payload or {})["n"]: (point.payload or {}).get("head") for point in answer.points}

    told = {"kind": "head", "revision": 7}
    assert await heads("head", "head.kind", "head.revision") == {0: told, 1: told, 2: missing, 3: None}
    assert await heads("head") == {0: head, 1: head, 2: missing, 3: None}
    assert await heads() == {0: None, 1: None, 2: None, 3: None}


async def test_fusion_takes_its_constant_from_the_request(client: AsyncQdrantClient) -> None:
    await create(client, "c")
    await client.upsert("c", points(range(40)), wait=True)
    dense = points([3])[0].vector
    assert isinstance(dense, dict)
    legs = [
        models.Prefetch(query=dense["dense"], using="dense", limit=10),
        models.Prefetch(query=dense["terms"], using="terms", limit=10),
    ]
    for k in (2, 60):
        found = await client.query_points("c", prefetch=legs, query=models.RrfQuery(rrf=models.Rrf(k=k)), limit=3)
        assert found.points[0].id == 3
        assert found.points[0].score <= 2 / k + 1e-6
        assert found.points[0].score > 1 / k


async def test_a_batch_is_refused_whole_before_any_of_it_is_done(client: AsyncQdrantClient) -> None:
    await create(client, "c")
    operations: list[Any] = [
        models.UpsertOperation(upsert=models.PointsList(points=points([1]))),
        models.ClearPayloadOperation(clear_payload=models.PointIdsList(points=[1])),
    ]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.batch_update_points("c", operations, wait=True)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert (await client.count("c")).count == 0


async def test_a_conditional_upsert_leaves_what_does_not_match(client: AsyncQdrantClient) -> None:
    await create(client, "c")
    older = models.Filter(must=[models.FieldCondition(key="number", range=models.Range(lt=3))])
    for number in (1, 5, 2):
        point = models.PointStruct(id=1, vector={}, payload={"number": number})
        await client.upsert("c", [point], wait=True, update_filter=older)
    (found,) = await client.retrieve("c", [1], with_payload=True)
    assert found.payload == {"number": 5}


UNSUPPORTED: dict[str, Callable[[AsyncQdrantClient], Awaitable[Any]]] = {
    "qdrant.Points/Facet": lambda c: c.facet("c", "colour"),
    "qdrant.Points/OverwritePayload": lambda c: c.overwrite_payload("c", {"a": 1}, [1]),
    "qdrant.Collections/Get ": lambda c: c.get_collection("c"),
    "qdrant.Collections/UpdateAliases": lambda c: c.update_collection_aliases([]),
    "Match.text": lambda c: c.count(
        "c", models.Filter(must=[models.FieldCondition(key="colour", match=models.MatchText(text="re"))])
    ),
    "Match.boolean": lambda c: c.count(
        "c", models.Filter(must=[models.FieldCondition(key="flag", match=models.MatchValue(value=True))])
    ),
    "ScrollPoints.with_vectors": lambda c: c.scroll("c", with_vectors=True),
    "ScrollPoints.order_by": lambda c: c.scroll("c", order_by="number"),
    "Query.recommend": lambda c: c.query_points(
        "c", models.RecommendQuery(recommend=models.RecommendInput(positive=[1])), using="dense"
    ),
    "SearchParams.quantization": lambda c: c.query_points(
        "c",
        [0.5] * DIMENSION,
        using="dense",
        search_params=models.SearchParams(quantization=models.QuantizationSearchParams(rescore=True)),
    ),
    "CreateCollection.quantization_config": lambda c: c.create_collection(
        "d",
        vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT),
        quantization_config=models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8)
        ),
    ),
    "VectorParams.on_disk": lambda c: c.create_collection(
        "d", vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT, on_disk=True)
    ),
}


async def test_what_it_does_not_do_is_refused_by_name(client: AsyncQdrantClient) -> None:
    await create(client, "c")
    await client.upsert("c", points(range(3)), wait=True)
    for what, call in UNSUPPORTED.items():
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(client)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED, what
        assert what in (refused.value.details() or ""), what


def deep(levels: int) -> models.Filter:
    chosen = models.Filter(must=[models.HasIdCondition(has_id=[1])])
    for _ in range(levels - 1):
        chosen = models.Filter(must=[chosen])
    return chosen


def tagged(count: int) -> models.Filter:
    values = [f"t{n}" for n in range(count)]
    return models.Filter(must=[models.FieldCondition(key="tags", match=models.MatchAny(any=values))])


def stages(count: int) -> list[models.Prefetch]:
    return [models.Prefetch(query=[0.5] * DIMENSION, using="dense", limit=1)] * count


FUSED = models.FusionQuery(fusion=models.Fusion.RRF)
BOUNDED: dict[str, tuple[Callable[[AsyncQdrantClient, int], Awaitable[Any]], int]] = {
    "filters in filters": (lambda c, n: c.count("c", deep(n)), 8),
    "conditions of a filter": (lambda c, n: c.count("c", tagged(n - 1)), 16_384),
    "ids": (lambda c, n: c.retrieve("c", range(n)), 10_000),
    "limit": (lambda c, n: c.query_points("c", [0.5] * DIMENSION, using="dense", limit=n), 10_000),
    "prefetches": (lambda c, n: c.query_points("c", prefetch=stages(n), query=FUSED), 16),
    "queries": (
        lambda c, n: c.query_batch_points("c", [models.QueryRequest(query=[0.5] * DIMENSION, using="dense")] * n),
        64,
    ),
}


@pytest.mark.parametrize("what", BOUNDED)
async def test_no_call_asks_for_more_than_the_others_can_wait_for(client: AsyncQdrantClient, what: str) -> None:
    await create(client, "c")
    await client.upsert("c", points(range(3)), wait=True)
    call, most = BOUNDED[what]
    await call(client, most)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(client, most + 1)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert what in (refused.value.details() or "")


async def test_errors_have_their_codes(client: AsyncQdrantClient) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await client.count("nowhere")
    assert missing.value.code() is grpc.StatusCode.NOT_FOUND
    await create(client, "c")
    for name in ("c", "../outside", "a/b", ""):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await create(client, name)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT, name
    with pytest.raises(grpc.aio.AioRpcError) as wrong:
        await client.upsert("c", [models.PointStruct(id=1, vector={"dense": [1.0]})], wait=True)
    assert wrong.value.code() is not grpc.StatusCode.OK
    assert (await client.count("c")).count == 0


async def test_collections_are_made_listed_and_deleted(client: AsyncQdrantClient) -> None:
    assert not await client.collection_exists("a")
    await create(client, "a")
    await create(client, "b")
    assert await client.collection_exists("a")
    assert [one.name for one in (await client.get_collections()).collections] == ["a", "b"]
    await client.upsert("a", points(range(4)), wait=True)
    await client.delete_collection("a")
    assert [one.name for one in (await client.get_collections()).collections] == ["b"]
    await create(client, "a")
    assert (await client.count("a")).count == 0
