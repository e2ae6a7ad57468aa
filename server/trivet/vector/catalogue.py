"""The calls of the protocol's Collections service, and the health check."""

from __future__ import annotations

from typing import Any

from qdrant_client import grpc as proto

from trivet.vector.engine.collections import Collections
from trivet.vector.service import Call

_VERSION = "1.16.0"  # of the protocol: what a client compares itself with


class CollectionCalls:
    """Collections: create, delete, list."""

    def __init__(self, collections: Collections) -> None:
        self._collections = collections

    def calls(self) -> dict[str, Call]:
        """Method name to call."""
        return {
            "Create": self.create,
            "Delete": self.delete,
            "List": self.list,
            "CollectionExists": self.exists,
        }

    def create(self, request: Any) -> Any:
        """Create a collection."""
        self._collections.create(request)
        return proto.CollectionOperationResponse(result=True)

    def delete(self, request: Any) -> Any:
        """Delete a collection with all that is in it."""
        return proto.CollectionOperationResponse(result=self._collections.delete(request.collection_name))

    def list(self, _request: Any) -> Any:
        """All names."""
        names = [proto.CollectionDescription(name=name) for name, _ in self._collections]
        return proto.ListCollectionsResponse(collections=names)

    def exists(self, request: Any) -> Any:
        """Whether there is one of that name."""
        found = request.collection_name in self._collections
        return proto.CollectionExistsResponse(result=proto.CollectionExists(exists=found))


def health_calls() -> dict[str, Call]:
    """The root service: says who answers."""

    def health_check(_request: Any) -> Any:
        return proto.HealthCheckReply(title="trivet vector process", version=_VERSION)

    return {"HealthCheck": health_check}
