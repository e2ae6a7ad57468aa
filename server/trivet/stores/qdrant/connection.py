"""The connection to Qdrant: bounded in time, its errors translated."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from qdrant_client import AsyncQdrantClient
from qdrant_client.common.client_exceptions import QdrantException

from trivet.errors import CollectionMissing, CollectionUnreadable, RetrievalUnavailable

_MAX_MESSAGE_BYTES = 64 * 2**20
_OPTIONS = {
    "grpc.max_send_message_length": _MAX_MESSAGE_BYTES,
    "grpc.max_receive_message_length": _MAX_MESSAGE_BYTES,
}
_DOWN = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED", "ABORTED"}
_FAILED = {"INTERNAL", "UNKNOWN", "DATA_LOSS"}
_REFUSED = {"UNAUTHENTICATED", "PERMISSION_DENIED"}
_CLOSE_GRACE = 5.0
LOOPBACK = "http://127.0.0.1"


@dataclass(frozen=True, slots=True)
class QdrantEndpoint:
    """Where Qdrant's gRPC is. `url` is `http://host` or, with TLS, `https://host`; its port is not used.

    `incarnation` grows with each restart of an engine of our own; what it was told before may have to be told again.
    """

    url: str
    grpc_port: int = 6334
    api_key: str | None = None
    incarnation: int = 0


class QdrantConnection:
    """Hands out the client of the present endpoint. For one event loop."""

    def __init__(self, endpoint: Callable[[], QdrantEndpoint | None], longest: float) -> None:
        """`endpoint` is asked at every call and says None while the engine is down; `longest` timeout in seconds."""
        self._endpoint = endpoint
        self._longest = longest
        self._client: AsyncQdrantClient | None = None
        self._client_of: QdrantEndpoint | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def endpoint(self) -> QdrantEndpoint:
        """The present one; raises RetrievalUnavailable while the engine is down."""
        endpoint = self._endpoint()
        if endpoint is None:
            raise RetrievalUnavailable("the vector engine is down and being started again")
        return endpoint

    async def close(self) -> None:
        """Close all connections."""
        client, self._client, self._client_of = self._client, None, None
        if client is not None:
            await client.close()
        await asyncio.gather(*self._closing, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def call(self, timeout: float) -> AsyncIterator[AsyncQdrantClient]:
        """The client for one call. Raises RetrievalUnavailable, as CollectionMissing or CollectionUnreadable where the
        engine answered so; cancellation passes through."""
        client = self._connected()
        try:
            async with asyncio.timeout(timeout):
                yield client
        except TimeoutError:
            raise RetrievalUnavailable(f"the vector engine did not answer within {timeout:g} s") from None
        except QdrantException as error:
            raise RetrievalUnavailable(f"the vector engine refused the call: {error}") from error
        except Exception as error:
            # The client raises its transport's errors, which have a status code; nothing else here knows the transport.
            code = getattr(error, "code", None)
            name = getattr(code(), "name", "") if callable(code) else ""
            if name in _DOWN:
                raise RetrievalUnavailable(f"the vector engine is not available ({name})") from error
            if name in _FAILED:
                raise CollectionUnreadable(f"the vector engine failed ({name})") from error
            if name in _REFUSED:
                raise RetrievalUnavailable(f"the vector engine refuses our credential ({name})") from error
            if name == "NOT_FOUND":
                raise CollectionMissing("the vector engine does not have this collection") from error
            raise

    def _connected(self) -> AsyncQdrantClient:
        endpoint = self.endpoint
        if self._client is None or endpoint != self._client_of:
            if self._client is not None:  # calls in flight on it end by themselves, or with the grace
                closing = asyncio.create_task(self._client.close(grpc_grace=_CLOSE_GRACE))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
            self._client = AsyncQdrantClient(
                url=endpoint.url,
                grpc_port=endpoint.grpc_port,
                prefer_grpc=True,
                **_credential(endpoint),
                timeout=round(self._longest) + 1,
                check_compatibility=False,  # would ask over REST
                pool_size=1,
                grpc_options=dict(_OPTIONS),
            )
            self._client_of = endpoint
        return self._client


def _credential(endpoint: QdrantEndpoint) -> dict[str, Any]:
    """As the client takes it; it warns of a key without TLS, which is as it should be on this machine's loopback."""
    if endpoint.api_key is not None and endpoint.url == LOOPBACK:
        return {"headers": {"api-key": endpoint.api_key}}
    return {"api_key": endpoint.api_key}
