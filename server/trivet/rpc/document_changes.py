"""Changing documents, as whoever calls: whose they are follows from the key."""

from __future__ import annotations

from trivet.api.v1 import admin_pb2
from trivet.errors import DocumentRejected, InvalidRequest, PermissionDenied
from trivet.ports import IndexAdministration
from trivet.rpc.admin_wire import acknowledgement_to_proto, document_from_proto
from trivet.rpc.bounds import BOUNDS, check_bounds
from trivet.rpc.status import code_name_of
from trivet.types.request import Caller, KeyRole


async def upsert_document(
    indexes: IndexAdministration, index: str, document: admin_pb2.Document, caller: Caller
) -> admin_pb2.UpsertDocumentsResponse:
    """Add or replace one document; what is wrong with this one stands in its acknowledgement.

    Raises what is no document's fault: NotFound for the index, RetrievalUnavailable.
    """
    try:
        check_bounds(document)
        tenant = owner(caller, document.tenant)
        return acknowledgement_to_proto(await indexes.upsert(index, document_from_proto(document, tenant)))
    except (DocumentRejected, InvalidRequest, PermissionDenied) as error:
        problem = admin_pb2.DocumentError(code=code_name_of(error), reason=error.reason, message=str(error))
        return admin_pb2.UpsertDocumentsResponse(id=document.id[: BOUNDS["Document.id"].size], error=problem)


async def delete_documents(
    indexes: IndexAdministration, request: admin_pb2.DeleteDocumentsRequest, caller: Caller
) -> admin_pb2.DeleteDocumentsResponse:
    """Delete documents of one owner; says which there were. Raises InvalidRequest, PermissionDenied, NotFound."""
    if not request.ids:
        raise InvalidRequest({"ids": "is empty"})
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
