"""The calls of the protocol's Points service that the embedded engine answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as proto

from trivet.vector.engine.collections import Collections
from trivet.vector.protocol.bounds import check_batch, check_found, check_ids
from trivet.vector.protocol.filters import filter_of, optional_filter, point_id
from trivet.vector.protocol.queries import query_of
from trivet.vector.protocol.references import follow
from trivet.vector.protocol.values import payload_of, payload_selector, points_of, without_vectors
from trivet.vector.results import to_point_id, to_retrieved, to_scored
from trivet.vector.service import Call
from trivet.vector.strict import Unsupported, allow, variant

# One copy and one call at a time: every write waits, every order is strong, every read is consistent.
_WRITE = ("collection_name", "wait", "ordering", "timeout")
_READ = ("collection_name", "read_consistency", "timeout")
_DEFAULT_SCROLL = 10  # the protocol's

_SCHEMAS = {
    proto.FieldType.FieldTypeKeyword: edge.PayloadSchemaType.Keyword,
    proto.FieldType.FieldTypeInteger: edge.PayloadSchemaType.Integer,
    proto.FieldType.FieldTypeFloat: edge.PayloadSchemaType.Float,
}


class PointsCalls:
    """Points: writes, reads and queries."""

    def __init__(self, collections: Collections) -> None:
        self._collections = collections

    def calls(self) -> dict[str, Call]:
        """Method name to call."""
        return {
            "Upsert": self.upsert,
            "Delete": self.delete,
            "SetPayload": self.set_payload,
            "UpdateBatch": self.update_batch,
            "CreateFieldIndex": self.create_field_index,
            "Get": self.get,
            "Scroll": self.scroll,
            "Count": self.count,
            "Query": self.query,
            "QueryBatch": self.query_batch,
        }

    def upsert(self, request: Any) -> Any:
        """Insert or overwrite points; with `update_filter`, overwrite only those that match it."""
        allow(request, (*_WRITE, "points", "update_filter"))
        return self._write(request, _upsert(request), len(request.points))

    def delete(self, request: Any) -> Any:
        """Delete points by id or filter."""
        allow(request, (*_WRITE, "points"))
        return self._write(request, _delete(request.points))

    def set_payload(self, request: Any) -> Any:
        """Set some payload fields of points by id or filter."""
        allow(request, (*_WRITE, "payload", "points_selector"))
        return self._write(request, _set_payload(request))

    def update_batch(self, request: Any) -> Any:
        """Several writes in order. No other call comes in between; a crash may leave only the first ones."""
        allow(request, (*_WRITE, "operations"))
        started = time.perf_counter()
        operations = [_operation(operation) for operation in request.operations]  # all understood before the first acts
        collection = self._collections[request.collection_name]
        for operation, message in zip(operations, request.operations, strict=True):
            collection.update(operation, len(message.upsert.points))
        return proto.UpdateBatchResponse(result=[_done() for _ in operations], time=time.perf_counter() - started)

    def create_field_index(self, request: Any) -> Any:
        """Index a payload field."""
        allow(request, (*_WRITE, "field_name", "field_type", "field_index_params"))
        if request.field_type not in _SCHEMAS:
            raise Unsupported(f"FieldType.{proto.FieldType.Name(request.field_type)}")
        schema = _schema(request)
        return self._write(request, edge.UpdateOperation.create_field_index(request.field_name, schema))

    def get(self, request: Any) -> Any:
        """Points by id."""
        allow(request, (*_READ, "ids", "with_payload", "with_vectors"))
        without_vectors(request)
        check_ids(request.ids)
        shard = self._collections[request.collection_name].shard
        records = shard.retrieve([point_id(id_) for id_ in request.ids], payload_selector(request), False)
        return proto.GetResponse(result=[to_retrieved(record) for record in records])

    def scroll(self, request: Any) -> Any:
        """Points by filter, in the order of their ids, page by page."""
        allow(request, (*_READ, "filter", "offset", "limit", "with_payload", "with_vectors"))
        without_vectors(request)
        shard = self._collections[request.collection_name].shard
        records, following = shard.scroll(
            edge.ScrollRequest(
                offset=point_id(request.offset) if request.HasField("offset") else None,
                limit=check_found(request.limit) if request.HasField("limit") else _DEFAULT_SCROLL,
                filter=optional_filter(request),
                with_payload=payload_selector(request),
                with_vector=False,
            )
        )
        return proto.ScrollResponse(
            result=[to_retrieved(record) for record in records],
            next_page_offset=None if following is None else to_point_id(following),
        )

    def count(self, request: Any) -> Any:
        """How many points match; always exact."""
        allow(request, (*_READ, "filter", "exact"))
        shard = self._collections[request.collection_name].shard
        number = shard.count(edge.CountRequest(exact=True, filter=optional_filter(request)))
        return proto.CountResponse(result=proto.CountResult(count=number))

    def query(self, request: Any) -> Any:
        """The universal query. Follows references: see `trivet.vector.protocol.references`."""
        started = time.perf_counter()
        shard = self._collections[request.collection_name].shard
        found = shard.query(query_of(request))
        payloads = [point.payload or {} for point in found]
        follow(shard, request, payloads)
        result = [to_scored(point, payload) for point, payload in zip(found, payloads, strict=True)]
        return proto.QueryResponse(result=result, time=time.perf_counter() - started)

    def query_batch(self, request: Any) -> Any:
        """Several queries at once."""
        allow(request, (*_READ, "query_points"))
        check_batch(request.query_points)
        started = time.perf_counter()
        results = [proto.BatchResult(result=self.query(query).result) for query in request.query_points]
        return proto.QueryBatchResponse(result=results, time=time.perf_counter() - started)

    def _write(self, request: Any, operation: edge.UpdateOperation, points: int = 1) -> Any:
        started = time.perf_counter()
        self._collections[request.collection_name].update(operation, points)
        return proto.PointsOperationResponse(result=_done(), time=time.perf_counter() - started)


def _schema(request: Any) -> Any:
    """How a field is indexed: besides by its type, perhaps by the beginnings of its texts, too."""
    if not request.HasField("field_index_params"):
        return _SCHEMAS[request.field_type]
    variant(request.field_index_params, "index_params", ("keyword_index_params",))
    params = request.field_index_params.keyword_index_params
    allow(params, ("prefix",))
    allow(params.prefix, ())
    return edge.KeywordIndexParams(prefix=params.HasField("prefix"))


def _done() -> Any:
    return proto.UpdateResult(status=proto.UpdateStatus.Completed)


def _upsert(message: Any) -> edge.UpdateOperation:
    return edge.UpdateOperation.upsert_points(
        points_of(message.points), condition=optional_filter(message, "update_filter")
    )


def _delete(selector: Any) -> edge.UpdateOperation:
    if variant(selector, "points_selector_one_of", ("points", "filter")) == "points":
        return edge.UpdateOperation.delete_points([point_id(id_) for id_ in selector.points.ids])
    return edge.UpdateOperation.delete_points_by_filter(filter_of(selector.filter))


def _set_payload(message: Any) -> edge.UpdateOperation:
    payload = payload_of(message.payload)
    selector = message.points_selector
    if variant(selector, "points_selector_one_of", ("points", "filter")) == "points":
        return edge.UpdateOperation.set_payload([point_id(id_) for id_ in selector.points.ids], payload)
    return edge.UpdateOperation.set_payload_by_filter(filter_of(selector.filter), payload)


def _operation(message: Any) -> edge.UpdateOperation:
    """One of the operations of an UpdateBatch."""
    kind = variant(message, "operation", ("upsert", "set_payload", "delete_points"))
    inner = getattr(message, kind)
    fields: dict[str, tuple[tuple[str, ...], Callable[[Any], edge.UpdateOperation]]] = {
        "upsert": (("points", "update_filter"), _upsert),
        "set_payload": (("payload", "points_selector"), _set_payload),
        "delete_points": (("points",), lambda delete: _delete(delete.points)),
    }
    known, translate = fields[kind]
    allow(inner, known)
    return translate(inner)
