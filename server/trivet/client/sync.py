"""A client for threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from trivet.api.v1 import admin_pb2, admin_pb2_grpc, inference_pb2, inference_pb2_grpc
from trivet.client.failure import CallFailed, failures
from trivet.client.health import CHECK, is_serving
from trivet.client.interactions import Interactions
from trivet.client.pieces import in_pieces
from trivet.client.retry import ONCE, Attempts, Retry
from trivet.client.rollouts import Rollouts
from trivet.client.stream import AnswerStream
from trivet.client.target import Target

_IDS_AT_ONCE = 1000  # as many as one DeleteDocuments takes
ResponseT = TypeVar("ResponseT")
Metadata = Sequence[tuple[str, str]]


class Client:
    """Calls a server; raises CallFailed. Use as a context manager. Threads may share it.

    `timeout`: the deadline of each call in seconds, its retries included; a call's own takes its place.
    Without `retry`, each call is tried once.
    """

    def __init__(self, target: Target, *, timeout: float = 120.0, retry: Retry = ONCE) -> None:
        self._timeout = timeout
        self._retry = retry
        self._metadata = target.metadata()
        self._channels = [_channel(target, target.address), _channel(target, target.admin_address)]
        self._inference = inference_pb2_grpc.InferenceStub(self._channels[0])
        self._health: Callable[..., bytes] = self._channels[0].unary_unary(CHECK)
        self._admin = admin_pb2_grpc.AdminStub(self._channels[1])
        self.rollouts = Rollouts(self._admin, timeout, self._metadata)
        self.interactions = Interactions(self._admin, timeout, self._metadata)

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

    def generate(
        self, request: inference_pb2.GenerateRequest, *, timeout: float | None = None, metadata: Metadata = ()
    ) -> inference_pb2.GenerateResponse:
        """One whole answer. `metadata` such as ("x-request-id", "...") is added to the call's."""
        return self._safe(self._inference.Generate, request, timeout, metadata)

    def generate_stream(
        self, request: inference_pb2.GenerateRequest, *, timeout: float | None = None, metadata: Metadata = ()
    ) -> AnswerStream:
        """An answer as it is made; leaving the stream's `with` block cancels the call."""
        sent = [*self._metadata, *metadata]
        return AnswerStream(
            lambda seconds: self._inference.GenerateStream(request, timeout=seconds, metadata=sent),
            Attempts(self._retry, self._timeout if timeout is None else timeout),
        )

    def retrieve(
        self, request: inference_pb2.RetrieveRequest, *, timeout: float | None = None, metadata: Metadata = ()
    ) -> inference_pb2.RetrieveResponse:
        """A search."""
        return self._safe(self._inference.Retrieve, request, timeout, metadata)

    def get_receipt(self, request_id: str) -> inference_pb2.GetReceiptResponse:
        """An earlier request's receipt."""
        return self._safe(self._inference.GetReceipt, inference_pb2.GetReceiptRequest(request_id=request_id))

    def submit_feedback(
        self,
        request_id: str,
        *,
        score: float | None = None,
        label: str = "",
        corrected_text: str = "",
        comment: str = "",
        timeout: float | None = None,
    ) -> None:
        """Say how good an earlier answer was: `score` from 0 (bad) to 1 (good), words, or both. Durable on return."""
        request = inference_pb2.SubmitFeedbackRequest(
            request_id=request_id, score=score, label=label, corrected_text=corrected_text, comment=comment
        )
        self._safe(self._inference.SubmitFeedback, request, timeout)

    def serving(self) -> bool:
        """Whether the server says that it serves requests: it does not while it starts or stops."""
        return is_serving(self._safe(self._health, b""))

    def list_routes(self) -> admin_pb2.ListRoutesResponse:
        """Routes and variants."""
        return self._call(self._admin.ListRoutes, admin_pb2.ListRoutesRequest())

    def reload_routes(self) -> admin_pb2.ReloadRoutesResponse:
        """Serve what the server's configuration says by now. Without a time limit: adapters may be large."""
        with failures():
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

    def list_engine_nodes(self) -> admin_pb2.ListEngineNodesResponse:
        """Engine nodes of backends that are fleets, and their states."""
        return self._call(self._admin.ListEngineNodes, admin_pb2.ListEngineNodesRequest())

    def drain_engine_node(self, address: str, draining: bool) -> admin_pb2.DrainEngineNodeResponse:
        """Have a node get no new requests, or get them again."""
        request = admin_pb2.DrainEngineNodeRequest(address=address, draining=draining)
        return self._call(self._admin.DrainEngineNode, request)

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
        with failures():
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
        with failures():
            yield from self._admin.BuildIndex(request, metadata=self._metadata)

    def explain_search(self, request: admin_pb2.ExplainSearchRequest) -> admin_pb2.ExplainSearchResponse:
        """How a search comes about."""
        return self._call(self._admin.ExplainSearch, request)

    def list_documents(self, index: str) -> Iterator[admin_pb2.DocumentSummary]:
        """Every document of an index. Without a time limit."""
        with failures():
            request = admin_pb2.ListDocumentsRequest(index=index)
            for response in self._admin.ListDocuments(request, metadata=self._metadata):
                yield from response.documents

    def rollback_index(self, index: str, snapshot: str, reason: str) -> admin_pb2.RollbackIndexResponse:
        """Return to a retained snapshot, the one that was live last if `snapshot` is empty."""
        request = admin_pb2.RollbackIndexRequest(index=index, snapshot=snapshot, reason=reason)
        return self._call(self._admin.RollbackIndex, request)

    def _call(self, method: Callable[..., ResponseT], request: Message) -> ResponseT:
        with failures():
            return method(request, timeout=self._timeout, metadata=self._metadata)

    def _safe(
        self,
        method: Callable[..., ResponseT],
        request: Message | bytes,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> ResponseT:
        """A call that may be made again."""
        attempts = Attempts(self._retry, self._timeout if timeout is None else timeout)
        while True:
            try:
                with failures():
                    return method(request, timeout=attempts.remaining, metadata=[*self._metadata, *metadata])
            except CallFailed as failure:
                time.sleep(attempts.wait_after(failure))


def _channel(target: Target, address: str) -> grpc.Channel:
    credentials = target.credentials()
    if credentials is None:
        return grpc.insecure_channel(address, options=target.options())
    return grpc.secure_channel(address, credentials, options=target.options())
