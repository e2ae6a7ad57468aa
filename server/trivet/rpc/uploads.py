"""Documents of a stream, put together from their messages; one that is not whole yet costs bounded memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from types import TracebackType

from trivet.api.v1 import admin_pb2
from trivet.errors import DeadlineExceeded, DocumentRejected, InvalidRequest, Overloaded
from trivet.ports import IndexAdministration
from trivet.retrieval.documents.documents import check_about, too_large
from trivet.rpc.document_changes import DOCUMENTS_FAULTS, received_document, refusal, upsert
from trivet.rpc.messages.reading import check_message
from trivet.types.passage import Document
from trivet.types.request import Caller

_RETRY_AFTER = 1.0


class UnfinishedUploads:
    """How many documents may be half sent at one time: in all, and of one tenant's keys a quarter of that."""

    def __init__(self, most: int, idle_timeout: float) -> None:
        """`idle_timeout`: seconds that the next piece of one is waited for."""
        self._most = most
        self._most_of_tenant = max(1, most // 4)
        self._by_tenant: Counter[str] = Counter()
        self.idle_timeout = idle_timeout

    def begin(self, tenant: str) -> None:
        """Take a place; raises Overloaded."""
        if self._by_tenant[tenant] >= self._most_of_tenant:
            raise Overloaded("unfinished documents of one tenant", self._most_of_tenant, _RETRY_AFTER)
        if self._by_tenant.total() >= self._most:
            raise Overloaded("unfinished documents", self._most, _RETRY_AFTER)
        self._by_tenant[tenant] += 1

    def end(self, tenant: str) -> None:
        """Give it back."""
        self._by_tenant[tenant] -= 1


@dataclass
class _Begun:
    """A document that is not whole. `content` has at most `max_bytes`."""

    index: str
    document: Document
    max_bytes: int
    content: BytesIO = field(default_factory=BytesIO)  # whose value is no copy of it


class UploadStream:
    """One stream's documents, one at a time. Use as a context manager: what is not whole at its end is dropped."""

    def __init__(self, indexes: IndexAdministration, uploads: UnfinishedUploads, caller: Caller) -> None:
        self._indexes = indexes
        self._uploads = uploads
        self._caller = caller
        self._index = ""
        self._begun: _Begun | None = None
        self._passing_over = False  # pieces of a document that was refused

    @property
    def index(self) -> str:
        """The index that documents were last sent to; empty before the first."""
        return self._index

    def __enter__(self) -> UploadStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop()

    async def answers(
        self, requests: AsyncIterator[admin_pb2.UpsertDocumentsRequest]
    ) -> AsyncIterator[admin_pb2.UpsertDocumentsResponse]:
        """One acknowledgement per document, in order.

        Raises what is no document's fault: InvalidRequest for messages out of order, Overloaded, DeadlineExceeded for a
        piece that does not come, NotFound for the index, RetrievalUnavailable.
        """
        messages = aiter(requests)
        while (request := await self._next(messages)) is not None:
            check_message(request, besides="document")  # what is wrong with that one, its acknowledgement tells
            self._index = request.index or self._index
            if not self._index:
                raise InvalidRequest({"index": "is empty in the first message"})
            answer = await (self._document(request) if request.HasField("document") else self._piece(request))
            if answer is not None:
                yield answer

    async def _next(
        self, requests: AsyncIterator[admin_pb2.UpsertDocumentsRequest]
    ) -> admin_pb2.UpsertDocumentsRequest | None:
        timeout = None if self._begun is None else self._uploads.idle_timeout
        try:
            async with asyncio.timeout(timeout):
                return await anext(requests, None)
        except TimeoutError:
            raise DeadlineExceeded(f"no further piece of a document came within {timeout:g} s") from None

    async def _document(self, request: admin_pb2.UpsertDocumentsRequest) -> admin_pb2.UpsertDocumentsResponse | None:
        if self._begun is not None:
            raise InvalidRequest({"document": "begins before the one before it is whole (`more`)"})
        self._passing_over = False
        if request.content:
            raise InvalidRequest({"content": "is for the pieces that follow a document's first message"})
        try:
            document = received_document(request.document, self._caller)
            if not request.more:
                return await upsert(self._indexes, self._index, document)
            check_about(document)
        except DOCUMENTS_FAULTS as error:
            self._passing_over = request.more
            return refusal(request.document.id, error)
        most = self._indexes.max_document_bytes(self._index)
        self._uploads.begin(self._caller.tenant)
        self._begun = _Begun(self._index, replace(document, content=b""), most)
        return await self._add(document.content, more=True)

    async def _piece(self, request: admin_pb2.UpsertDocumentsRequest) -> admin_pb2.UpsertDocumentsResponse | None:
        if self._passing_over:
            self._passing_over = request.more
            return None
        if self._begun is None:
            raise InvalidRequest({"document": "is missing: no document has been begun"})
        return await self._add(request.content, more=request.more)

    async def _add(self, piece: bytes, *, more: bool) -> admin_pb2.UpsertDocumentsResponse | None:
        begun = self._begun
        assert begun is not None
        size = begun.content.tell() + len(piece)
        if size > begun.max_bytes:
            self._drop()
            self._passing_over = more
            return refusal(begun.document.id, DocumentRejected(too_large(begun.document.id, size, begun.max_bytes)))
        begun.content.write(piece)
        if more:
            return None
        whole = replace(begun.document, content=begun.content.getvalue())
        self._drop()
        try:
            return await upsert(self._indexes, begun.index, whole)
        except DOCUMENTS_FAULTS as error:
            return refusal(whole.id, error)

    def _drop(self) -> None:
        if self._begun is not None:
            self._begun = None
            self._uploads.end(self._caller.tenant)
