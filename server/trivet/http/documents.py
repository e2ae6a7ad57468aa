"""Documents and indexes as JSON: the Admin service's calls for them, with the same rules of whose a document is."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable
from typing import Any, TypeVar

from trivet.api.v1 import admin_pb2
from trivet.errors import DeadlineExceeded, InvalidRequest, Problems
from trivet.excerpt import quote
from trivet.http.contract import JsonObject, answer_message, fill_message, read_message
from trivet.http.exchange import Exchange
from trivet.ports import IndexAdministration
from trivet.routing.table import RouteTable
from trivet.rpc.admin_wire import index_to_proto
from trivet.rpc.document_changes import delete_documents, received_document, upsert
from trivet.rpc.intake import RequestIntake
from trivet.rpc.messages.bounds import check_bounds

changes = logging.getLogger(f"{__name__}.changes")
"""Who changed what."""
_Done = TypeVar("_Done")
_URL_SAFE = str.maketrans("-_", "+/")


class DocumentCalls:
    """One endpoint for each."""

    def __init__(self, indexes: IndexAdministration, routes: RouteTable, intake: RequestIntake) -> None:
        self._indexes = indexes
        self._routes = routes
        self._intake = intake

    async def upsert(self, exchange: Exchange) -> None:
        """`POST /v1/documents`: add or replace one document; what refuses it is the response's status."""
        caller = self._intake.caller(exchange.call)
        body = (await exchange.body(JsonObject)).root
        request = await asyncio.to_thread(_upsert_request, body)  # a large content takes its time
        document = received_document(request.document, caller)
        answer = await _within_deadline(exchange, upsert(self._indexes, request.index, document))
        changes.info("%s sent document %s to index %s", caller, quote(answer.id), quote(request.index))
        await answer_message(exchange, answer)

    async def delete(self, exchange: Exchange) -> None:
        """`POST /v1/documents/delete`: delete by id; says which ids there were."""
        caller = self._intake.caller(exchange.call)
        request = await read_message(exchange, admin_pb2.DeleteDocumentsRequest())
        answer = await _within_deadline(exchange, delete_documents(self._indexes, request, caller))
        changes.info("%s deleted %d documents of index %s", caller, len(answer.deleted), quote(request.index))
        await answer_message(exchange, answer)

    async def indexes(self, exchange: Exchange) -> None:
        """`GET /v1/indexes`: every configured index, for operators."""
        self._intake.operator(exchange.call)
        found = await _within_deadline(exchange, self._indexes.status())
        routes = self._routes.routes
        await answer_message(
            exchange, admin_pb2.ListIndexesResponse(indexes=[index_to_proto(status, routes) for status in found])
        )


def _upsert_request(body: dict[str, Any]) -> admin_pb2.UpsertDocumentsRequest:
    """The contract's message for one whole document, whose `text` may stand for a `content` in base64."""
    document, content = body.get("document"), b""
    if isinstance(document, dict):
        content = _content(document)
        others = {name: value for name, value in document.items() if name not in ("content", "text")}
        body = {**body, "document": others}
    request = admin_pb2.UpsertDocumentsRequest()
    fill_message(body, request)
    problems = Problems()
    problems.expect(bool(request.index), "index", "is empty")
    problems.expect(request.HasField("document"), "document", "is missing")
    whole = not request.more and not request.content
    problems.expect(whole, "more", "expected a whole document: pieces are for the stream of gRPC")
    problems.refuse()
    request.document.content = content
    check_bounds(request)
    return request


def _content(document: dict[str, Any]) -> bytes:
    """The parser of messages passes over characters that are no base64, which would be a document with other bytes."""
    text, encoded = document.get("text"), document.get("content")
    if text is not None:
        if not isinstance(text, str) or encoded is not None:
            raise InvalidRequest({"document.text": "expected a text, and no content beside it"})
        return text.encode()
    if encoded is None:
        return b""
    if not isinstance(encoded, str) or not encoded.isascii():
        raise InvalidRequest({"document.content": "expected base64"})
    padded = encoded.translate(_URL_SAFE) + "=" * (-len(encoded) % 4)
    try:
        return base64.b64decode(padded, validate=True)
    except ValueError as error:
        raise InvalidRequest({"document.content": f"is no base64: {error}"}) from None


async def _within_deadline(exchange: Exchange, work: Awaitable[_Done]) -> _Done:
    """The client's own time limit, if it has one."""
    try:
        async with asyncio.timeout_at(exchange.call.deadline):
            return await work
    except TimeoutError as error:
        raise DeadlineExceeded("the deadline passed before the index was done") from error
