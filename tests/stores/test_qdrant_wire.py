"""What a Qdrant server would be told: settings, credentials, consistency. A recorder stands in for the server."""

from __future__ import annotations

import math
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from qdrant_client import grpc as proto
from qdrant_client.conversions.conversion import payload_to_grpc
from qdrant_client.grpc import collections_service_pb2, points_service_pb2

from tests.support.retrieval.qdrant_engines import passages, revision, search
from trivet.errors import RetrievalUnavailable
from trivet.stores.qdrant import points
from trivet.stores.qdrant.connection import QdrantEndpoint
from trivet.stores.qdrant.layout import CollectionLayout
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.records import DocumentHead, PassageRecord, PointKind

pytestmark = pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
LAYOUT = CollectionLayout(replicas=3, shards=4, write_consistency=2, int8=True)


class Recorder(grpc.GenericRpcHandler):
    """Answers every call of the protocol with an empty message and keeps what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.metadata: list[Mapping[str, str]] = []
        self.found: list[Any] = []  # what a query finds
        files = (collections_service_pb2, points_service_pb2)
        services = [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]
        self._methods = {f"/{s.full_name}/{m.name}": m for s in services for m in s.methods}

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        """One call."""
        method = self._methods[details.method]
        metadata = {str(key): str(value) for key, value in details.invocation_metadata}

        async def answer(request: Any, _context: Any) -> Any:
            self.calls.append((method.name, request))
            self.metadata.append(metadata)
            return _answer(method, self.found)

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )

    def of(self, name: str) -> list[Any]:
        """The requests of one method."""
        return [request for method, request in self.calls if method == name]


def _answer(method: Any, found: list[Any]) -> Any:
    """An empty message, but for what the client insists on."""
    if method.output_type.name == "QueryResponse":
        return proto.QueryResponse(result=found)
    if method.output_type.name == "PointsOperationResponse":
        return proto.PointsOperationResponse(result=proto.UpdateResult(status=proto.UpdateStatus.Completed))
    return GetMessageClass(method.output_type)()


def scored(record: PassageRecord, dense: Any) -> Any:
    """A passage that a query finds, with its dense vector as a VectorOutput."""
    point = points.passage_point(record, PointKind.PASSAGE)
    assert isinstance(point.payload, dict)
    return proto.ScoredPoint(
        id=proto.PointId(uuid=str(point.id)),
        payload=payload_to_grpc(point.payload),
        vectors=proto.VectorsOutput(vectors=proto.NamedVectorsOutput(vectors={"dense": dense})),
    )


@pytest.fixture
async def recorder() -> AsyncIterator[tuple[Recorder, int]]:
    """It and its port."""
    recorder = Recorder()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((recorder,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield recorder, port
    await server.stop(0)


@pytest.fixture
async def store(recorder: tuple[Recorder, int]) -> AsyncIterator[QdrantStore]:
    """Over the recorder, as over a cluster."""
    store = QdrantStore.remote(QdrantEndpoint("http://127.0.0.1", recorder[1], "a-secret"), LAYOUT)
    yield store
    await store.close()


async def test_a_collection_is_laid_out_as_configured(recorder: tuple[Recorder, int], store: QdrantStore) -> None:
    assert await store.ensure("facts", 8)
    (created,) = recorder[0].of("Create")
    assert (created.replication_factor, created.shard_number, created.write_consistency_factor) == (3, 4, 2)
    assert created.quantization_config.scalar.type == proto.QuantizationType.Int8
    assert created.quantization_config.scalar.always_ram
    indexed = {request.field_name for request in recorder[0].of("CreateFieldIndex")}
    assert {"kind", "document_id", "tenant", "tags", "revision", "valid_from", "valid_until"} <= indexed
    assert all(request.wait for request in recorder[0].of("CreateFieldIndex"))


async def test_a_searchs_first_hits_are_scored_again(recorder: tuple[Recorder, int], store: QdrantStore) -> None:
    await search(store, "facts", words=[1])
    (query,) = recorder[0].of("Query")
    dense, terms = query.prefetch
    assert dense.params.quantization.rescore
    assert not terms.HasField("params")


async def test_heads_that_the_engine_does_not_tell_are_asked_for(
    recorder: tuple[Recorder, int], store: QdrantStore
) -> None:
    """A server gives back the id where the embedded engine follows it."""
    (record,) = passages(revision(1))
    recorder[0].found = [scored(record, proto.VectorOutput(dense=proto.DenseVector(data=record.dense)))]
    (found,) = await search(store, "facts")
    assert found.of == record.of
    assert not found.counts, "the recorder knows no heads"
    (request,) = recorder[0].of("Get")
    assert [one.uuid for one in request.ids] == [points.head_id(record.of.key)]


async def test_vectors_are_read_as_servers_of_any_age_have_them(
    recorder: tuple[Recorder, int], store: QdrantStore
) -> None:
    (record,) = passages(revision(1))
    for output in (
        proto.VectorOutput(dense=proto.DenseVector(data=record.dense)),
        proto.VectorOutput(data=record.dense),
    ):
        recorder[0].found = [scored(record, output)]
        (found,) = await search(store, "facts", angle=math.pi / 3)
        assert found.similarity == pytest.approx(0.5)


async def test_only_a_search_is_in_a_hurry(recorder: tuple[Recorder, int]) -> None:
    """On a machine so busy that no search can be answered in time, a start and a write still get through."""
    store = QdrantStore(lambda: QdrantEndpoint("http://127.0.0.1", recorder[1]), search_timeout=0)
    with pytest.raises(RetrievalUnavailable, match="did not answer"):
        await search(store, "facts")
    await store.ensure("facts", 8)
    assert await store.collections() == []
    assert await store.heads_of("facts", [revision(1).key]) == {}
    assert await store.count("facts", PointKind.HEAD) == 0
    await store.stage("facts", passages(revision(1)))
    await store.close()


async def test_reads_are_by_majority(recorder: tuple[Recorder, int], store: QdrantStore) -> None:
    await search(store, "facts")
    await store.heads_of("facts", [revision(1).key])
    await store.heads("facts")
    for name in ("Query", "Get", "Scroll"):
        (request,) = recorder[0].of(name)
        assert request.read_consistency.type == proto.ReadConsistencyType.Majority, name


async def test_writes_wait_and_are_ordered(recorder: tuple[Recorder, int], store: QdrantStore) -> None:
    head = DocumentHead(revision(1), deleted=False, passages=1)
    await store.stage("facts", passages(revision(1)))
    await store.publish("facts", head)
    await store.retire("facts", head)
    await store.clean("facts", head.of.key, None)
    writes = [*recorder[0].of("Upsert"), *recorder[0].of("UpdateBatch")]
    assert len(writes) == 4
    for request in writes:
        assert request.wait
        assert request.ordering.type == proto.WriteOrderingType.Strong


async def test_passages_are_made_some_at_a_time_beside_the_event_loop(
    recorder: tuple[Recorder, int], store: QdrantStore
) -> None:
    made: list[tuple[int, int]] = []  # messages before it was made, and the thread

    def records() -> Iterator[PassageRecord]:
        for record in passages(revision(1), [0.0] * 150):
            made.append((len(recorder[0].of("Upsert")), threading.get_ident()))
            yield record

    await store.stage("facts", records())
    assert [len(request.points) for request in recorder[0].of("Upsert")] == [64, 64, 22]
    assert [messages for messages, _ in made] == [*[0] * 64, *[1] * 64, *[2] * 22]
    assert threading.get_ident() not in {thread for _, thread in made}


async def test_every_call_has_the_key(recorder: tuple[Recorder, int], store: QdrantStore) -> None:
    await store.ensure("facts", 8)
    await search(store, "facts")
    assert {metadata.get("api-key") for metadata in recorder[0].metadata} == {"a-secret"}
