"""Changing documents, as whoever calls: whose they are follows from the key."""

from __future__ import annotations

from trivet.api.v1 import admin_pb2
from trivet.errors import DocumentRejected, InvalidRequest, PermissionDenied, QuotaExceeded, TrivetError
from trivet.ports import IndexAdministration
from trivet.retrieval.documents.documents import check_tenant
from trivet.retrieval.documents.ids import MAX_ID
from trivet.rpc.admin_wire import acknowledgement_to_proto, document_from_proto
from trivet.rpc.messages.bounds import check_bounds
from trivet.rpc.status import code_name_of
from trivet.types.passage import Document
from trivet.types.request import Caller, KeyRole

DOCUMENTS_FAULTS = (DocumentRejected, InvalidRequest, PermissionDenied, QuotaExceeded)


async def upsert_document(
    indexes: IndexAdministration, index: str, document: admin_pb2.Document, caller: Caller
) -> admin_pb2.UpsertDocumentsResponse:
    """Add or replace one document; what is wrong with this one stands in its acknowledgement.

    Raises what is no document's fault: NotFound for the index, Overloaded, RetrievalUnavailable.
    """
    try:
        return await upsert(indexes, index, received_document(document, caller))
    except DOCUMENTS_FAULTS as error:
        return refusal(document.id, error)


async def upsert(indexes: IndexAdministration, index: str, document: Document) -> admin_pb2.UpsertDocumentsResponse:
    """The acknowledgement of a document that was taken; raises one of DOCUMENTS_FAULTS if it was not."""
    return acknowledgement_to_proto(await indexes.upsert(index, document))


def received_document(document: admin_pb2.Document, caller: Caller) -> Document:
    """A document as one of the caller's; raises PermissionDenied, InvalidRequest, DocumentRejected."""
    check_bounds(document)
    return document_from_proto(document, owner(caller, document.tenant))


def refusal(document_id: str, error: TrivetError) -> admin_pb2.UpsertDocumentsResponse:
    """The acknowledgement of a document that was not taken. An id that is too long to be one is cut."""
    problem = admin_pb2.DocumentError(code=code_name_of(error), reason=error.reason, message=str(error))
    return admin_pb2.UpsertDocumentsResponse(id=document_id[:MAX_ID], error=problem)


async def delete_documents(
    indexes: IndexAdministration, request: admin_pb2.DeleteDocumentsRequest, caller: Caller
) -> admin_pb2.DeleteDocumentsResponse:
    """Delete documents of one owner; says which there were. Raises InvalidRequest, PermissionDenied, NotFound."""
    if not request.ids:
        raise InvalidRequest({"ids": "is empty"})
    try:
        check_tenant(request.tenant)
    except ValueError as error:
        raise InvalidRequest({"tenant": str(error)}) from None
    deleted = await indexes.delete(request.index, list(request.ids), owner(caller, request.tenant))
    there = set(deleted)
    missing = [document_id for document_id in dict.fromkeys(request.ids) if document_id not in there]
    return admin_pb2.DeleteDocumentsResponse(deleted=deleted, missing=missing)


def owner(caller: Caller, named: str) -> str:
    """Whose documents a call is about. An operator names anybody, or nobody for shared ones; others only themselves.

    Raises PermissionDenied.
    """
    if caller.role is KeyRole.OPERATOR:
        return named
    if named in ("", caller.tenant):
        return caller.tenant
    raise PermissionDenied(f"this key may change documents of {caller.tenant!r} alone; others need an operator key")
