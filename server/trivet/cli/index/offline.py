"""Index commands without a server: the same calls as the client's, on the data folder itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TypeVar

from trivet.api.v1 import admin_pb2, inference_pb2
from trivet.config import Config
from trivet.errors import Problems
from trivet.pipeline.passages import with_surroundings
from trivet.rpc.admin_wire import build_event_to_proto, index_to_proto
from trivet.rpc.document_changes import delete_documents, upsert_document
from trivet.rpc.request.calls import EXPANSIONS
from trivet.rpc.request.explained import documents_to_proto, explained_query, explanation_to_proto
from trivet.rpc.request.fields import where_of
from trivet.rpc.wire import citation_to_proto
from trivet.types.passage import Expansion, SearchQuery, SearchResult
from trivet.types.request import PUBLIC_TENANT, Caller, KeyRole

ItemT = TypeVar("ItemT")
_OPERATOR = Caller(PUBLIC_TENANT, KeyRole.OPERATOR)  # who holds the data folder may do everything


class OfflineIndexes:
    """Owns the data folder while it is open; DataFolderInUse if a server does."""

    def __init__(self, config: Config, replace_unusable: str = "") -> None:
        """An index named `replace_unusable` is made anew if the embedding model of its live snapshot is gone."""
        self._config = config
        self._replace_unusable = replace_unusable
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()

    def __enter__(self) -> OfflineIndexes:
        from trivet.app.indexes import own_indexes  # here, because it imports the vector store's client

        try:
            own = own_indexes(self._config, replace_unusable=self._replace_unusable)
            self._indexes = self._runner.run(self._stack.enter_async_context(own))
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._runner.run(self._stack.aclose())
        finally:
            self._runner.close()

    def build_index(
        self, index: str, rebuild: bool = False, strict: bool = False
    ) -> Iterator[admin_pb2.BuildIndexResponse]:
        """Progress and the corpus' report, then the built index."""
        for event in self._each(self._indexes.build(index, rebuild=rebuild, strict=strict)):
            yield build_event_to_proto(event)
        for item in self.list_indexes().indexes:
            if item.name == index:
                yield admin_pb2.BuildIndexResponse(built=item)

    def rollback_index(self, index: str, snapshot: str, reason: str) -> admin_pb2.RollbackIndexResponse:
        """Return to a retained snapshot."""
        status = self._runner.run(self._indexes.rollback(index, snapshot, reason))
        return admin_pb2.RollbackIndexResponse(index=index_to_proto(status, self._config.routes))

    def upsert_documents(
        self, requests: Iterable[admin_pb2.UpsertDocumentsRequest]
    ) -> Iterator[admin_pb2.UpsertDocumentsResponse]:
        """One acknowledgement per document, in order."""
        for request in requests:
            yield self._runner.run(upsert_document(self._indexes, request.index, request.document, _OPERATOR))

    def delete_documents(self, index: str, ids: Sequence[str], tenant: str = "") -> admin_pb2.DeleteDocumentsResponse:
        """Delete by id; `tenant` is whose they are, empty for shared ones."""
        request = admin_pb2.DeleteDocumentsRequest(index=index, ids=ids, tenant=tenant)
        return self._runner.run(delete_documents(self._indexes, request, _OPERATOR))

    def list_indexes(self) -> admin_pb2.ListIndexesResponse:
        """Indexes and what they hold."""
        statuses = self._runner.run(self._indexes.status())
        return admin_pb2.ListIndexesResponse(indexes=[index_to_proto(item, self._config.routes) for item in statuses])

    def explain_search(self, request: admin_pb2.ExplainSearchRequest) -> admin_pb2.ExplainSearchResponse:
        """How a search comes about."""
        return explanation_to_proto(self._runner.run(self._indexes.explain(explained_query(request))))

    def list_documents(self, index: str) -> Iterator[admin_pb2.DocumentSummary]:
        """Every document of an index."""
        for documents in self._each(self._indexes.documents(index)):
            yield from documents_to_proto(documents).documents

    def retrieve(self, request: inference_pb2.RetrieveRequest) -> inference_pb2.RetrieveResponse:
        """Search one index, as the public tenant."""
        problems = Problems()
        where = where_of(request, problems)
        problems.refuse()
        query = SearchQuery(
            request.index,
            request.text,
            PUBLIC_TENANT,
            request.top_k or 3,
            tags=tuple(request.filter),
            expansion=EXPANSIONS.get(request.expand, Expansion.NONE),
            where=() if where is None else (where,),
            more=tuple(request.more_texts),
        )
        result = self._runner.run(self._search(query))
        return inference_pb2.RetrieveResponse(
            citations=[citation_to_proto(one) for one in with_surroundings(result.passages, result.around)],
            index=request.index,
            snapshot=result.snapshot,
        )

    async def _search(self, query: SearchQuery) -> SearchResult:
        """As a server does that has learnt the words of the index on the side."""
        index = self._indexes.indexes.get(query.index)
        if index is not None and (spelling := index.live.spelling) is not None:
            await spelling.ensure_read()
        return await self._indexes.search(query)

    def _each(self, items: AsyncIterator[ItemT]) -> Iterator[ItemT]:
        async def following() -> list[ItemT]:
            async for item in items:
                return [item]
            return []

        while found := self._runner.run(following()):
            yield from found
