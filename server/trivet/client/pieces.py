"""A large document, in messages that a server accepts."""

from __future__ import annotations

from collections.abc import Iterator

from trivet.api.v1 import admin_pb2

PIECE_BYTES = 256 << 10  # of a document's content in one message


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
