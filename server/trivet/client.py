"""A small client of a running server, for the command line. Services in production use their own gRPC stubs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from trivet.api.v1 import admin_pb2, admin_pb2_grpc, inference_pb2, inference_pb2_grpc

DEFAULT_ADDRESS = "127.0.0.1:7600"
DEFAULT_ADMIN_ADDRESS = "127.0.0.1:7601"
PIECE_BYTES = 256 << 10  # of a document's content in one message
DETAILS_TRAILER = "grpc-status-details-bin"
_IDS_AT_ONCE = 1000  # as many as one DeleteDocuments takes
ResponseT = TypeVar("ResponseT")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server is and how to be let in. With `ca_file` (PEM) the connection is TLS."""

    address: str = DEFAULT_ADDRESS
    admin_address: str = DEFAULT_ADMIN_ADDRESS
    key: str | None = None
    ca_file: Path | None = None


class CallFailed(Exception):
    """A call ended with an error status: its code's name, message, reason and what is wrong by field.

    `retry_after`: seconds after which the server asks to try again; None if it does not.
    """

    def __init__(self, error: Any) -> None:
        # A synchronous stub raises an object that is both a grpc.RpcError and a grpc.Call.
        self.code: str = error.code().name
        self.message: str = error.details() or ""
        self.reason = ""
        self.fields: dict[str, str] = {}
        self.retry_after: float | None = None
        for key, value in error.trailing_metadata() or ():
            if key == DETAILS_TRAILER:
                self._read(status_pb2.Status.FromString(value))
        super().__init__(f"{self.code}: {self.message}")

    def _read(self, status: status_pb2.Status) -> None:
        for detail in status.details:
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            retry = error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                self.reason = info.reason
            elif detail.Unpack(bad):
                self.fields = {item.field: item.description for item in bad.field_violations}
            elif detail.Unpack(retry):
                self.retry_after = retry.retry_delay.ToTimedelta().total_seconds()


class Client:
    """Calls a server; raises CallFailed. Use as a context manager."""

    def __init__(self, target: Target, *, timeout: float = 120.0) -> None:
        self._target = target
        self._timeout = timeout
        self._metadata = [] if target.key is None else [("authorization", f"Bearer {target.key}")]
        self._channels = [self._channel(target.address), self._channel(target.admin_address)]
        self._inference = inference_pb2_grpc.InferenceStub(self._channels[0])
        self._health = health_pb2_grpc.HealthStub(self._channels[0])
        self._admin = admin_pb2_grpc.AdminStub(self._channels[1])

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        for channel in self._channels:
            channel.close()

    def _channel(self, address: str) -> grpc.Channel:
        if self._target.ca_file is None:
            return grpc.insecure_channel(address)
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(self._target.ca_file.read_bytes()))

    def generate(self, request: inference_pb2.GenerateRequest) -> inference_pb2.GenerateResponse:
        """One whole answer."""
        return self._call(self._inference.Generate, request)

    def generate_stream(
        self, request: inference_pb2.GenerateRequest
    ) -> Generator[inference_pb2.GenerateStreamResponse, None, None]:
        """An answer as it is made; closing the generator cancels the call."""
        with _failures():
            yield from self._inference.GenerateStream(request, timeout=self._timeout, metadata=self._metadata)

    def retrieve(self, request: inference_pb2.RetrieveRequest) -> inference_pb2.RetrieveResponse:
        """A search."""
        return self._call(self._inference.Retrieve, request)

    def get_receipt(self, request_id: str) -> inference_pb2.GetReceiptResponse:
        """An earlier request's receipt."""
        return self._call(self._inference.GetReceipt, inference_pb2.GetReceiptRequest(request_id=request_id))

    def serving(self) -> bool:
        """Whether the server says that it serves requests: it does not while it starts or stops."""
        request = health_pb2.HealthCheckRequest()
        answer = self._call(self._health.Check, request)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def list_routes(self) -> admin_pb2.ListRoutesResponse:
        """Routes and variants."""
        return self._call(self._admin.ListRoutes, admin_pb2.ListRoutesRequest())

    def reload_routes(self) -> admin_pb2.ReloadRoutesResponse:
        """Serve what the server's configuration says by now. Without a time limit: adapters may be large."""
        with _failures():
            return self._admin.ReloadRoutes(admin_pb2.ReloadRoutesRequest(), metadata=self._metadata)

    def list_adapters(self) -> admin_pb2.ListAdaptersResponse:
        """Adapters and their states."""
        return self._call(self._admin.ListAdapters, admin_pb2.ListAdaptersRequest())

    def load_adapter(self, name: str) -> admin_pb2.LoadAdapterResponse:
        """Load one; `name` is name@version."""
        return self._call(self._admin.LoadAdapter, admin_pb2.LoadAdapterRequest(name=name))

    def unload_adapter(self, name: str) -> admin_pb2.UnloadAdapterResponse:
        """Withdraw one; `name` is name@version."""
        return self._call(self._admin.UnloadAdapter, admin_pb2.UnloadAdapterRequest(name=name))

    def list_indexes(self) -> admin_pb2.ListIndexesResponse:
        """Indexes and what they hold."""
        return self._call(self._admin.ListIndexes, admin_pb2.ListIndexesRequest())

    def upsert_documents(
        self, requests: Iterable[admin_pb2.UpsertDocumentsRequest]
    ) -> Iterator[admin_pb2.UpsertDocumentsResponse]:
        """One acknowledgement per document, in order. Without a time limit: a folder may be large.

        Requests are read as they are sent; a large document goes in several messages.
        """
        pieces = (message for request in requests for message in in_pieces(request))
        with _failures():
            yield from self._admin.UpsertDocuments(pieces, metadata=self._metadata)

    def delete_documents(self, index: str, ids: Iterable[str], tenant: str = "") -> admin_pb2.DeleteDocumentsResponse:
        """Delete by id; `tenant` is whose they are, empty for shared ones (with a client key: its own).

        Many are sent in several calls: one that fails leaves the documents of those before it deleted.
        """
        all_ids, answer = list(ids), admin_pb2.DeleteDocumentsResponse()
        for start in range(0, max(1, len(all_ids)), _IDS_AT_ONCE):
            batch = all_ids[start : start + _IDS_AT_ONCE]
            request = admin_pb2.DeleteDocumentsRequest(index=index, ids=batch, tenant=tenant)
            answer.MergeFrom(self._call(self._admin.DeleteDocuments, request))
        return answer

    def build_index(
        self, index: str, rebuild: bool = False, strict: bool = False
    ) -> Iterator[admin_pb2.BuildIndexResponse]:
        """Progress and the corpus' report, then the built index. Without a time limit."""
        request = admin_pb2.BuildIndexRequest(index=index, rebuild=rebuild, strict=strict)
        with _failures():
            yield from self._admin.BuildIndex(request, metadata=self._metadata)

    def rollback_index(self, index: str, snapshot: str, reason: str) -> admin_pb2.RollbackIndexResponse:
        """Return to a retained snapshot, the one that was live last if `snapshot` is empty."""
        request = admin_pb2.RollbackIndexRequest(index=index, snapshot=snapshot, reason=reason)
        return self._call(self._admin.RollbackIndex, request)

    def _call(self, method: Callable[..., ResponseT], request: Message) -> ResponseT:
        with _failures():
            return method(request, timeout=self._timeout, metadata=self._metadata)


class AsyncClient:
    """Searches from event loops; raises CallFailed. A connection belongs to the event loop that it was made in."""

    def __init__(self, target: Target, *, timeout: float = 120.0) -> None:
        self._target = target
        self._timeout = timeout
        self._metadata = [] if target.key is None else [("authorization", f"Bearer {target.key}")]
        self._channels: WeakKeyDictionary[asyncio.AbstractEventLoop, grpc.aio.Channel] = WeakKeyDictionary()

    async def close(self) -> None:
        """Close this event loop's connection."""
        channel = self._channels.pop(asyncio.get_running_loop(), None)
        if channel is not None:
            await channel.close()

    async def retrieve(self, request: inference_pb2.RetrieveRequest) -> inference_pb2.RetrieveResponse:
        """A search. Cancelling it cancels the call."""
        stub = inference_pb2_grpc.InferenceStub(self._channel())
        with _failures():
            return await stub.Retrieve(request, timeout=self._timeout, metadata=self._metadata)

    def _channel(self) -> grpc.aio.Channel:
        loop = asyncio.get_running_loop()
        if loop not in self._channels:
            ca_file, address = self._target.ca_file, self._target.address
            self._channels[loop] = (
                grpc.aio.insecure_channel(address)
                if ca_file is None
                else grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca_file.read_bytes()))
            )
        return self._channels[loop]


def in_pieces(request: admin_pb2.UpsertDocumentsRequest) -> Iterator[admin_pb2.UpsertDocumentsRequest]:
    """The messages that a document is sent in: one, unless its content is longer than a piece."""
    content = request.document.content
    if len(content) <= PIECE_BYTES:
        yield request
        return
    first = admin_pb2.UpsertDocumentsRequest(index=request.index, document=request.document, more=True)
    first.document.content = content[:PIECE_BYTES]
    yield first
    for start in range(PIECE_BYTES, len(content), PIECE_BYTES):
        piece = content[start : start + PIECE_BYTES]
        yield admin_pb2.UpsertDocumentsRequest(content=piece, more=start + PIECE_BYTES < len(content))


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise CallFailed(error) from error
