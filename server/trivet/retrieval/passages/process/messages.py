"""What is said about one document: JSON, because what reads strangers' documents is not trusted with more.

A request is a line of JSON (how to split, and all of the document but its content), then the content. Chunks come back
as a JSON list of fields, some at a time, so that no frame takes long to read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trivet.retrieval.passages.splitting import Chunk
from trivet.retrieval.processes.frames import BrokenFrame
from trivet.retrieval.settings import IndexSettings
from trivet.types.passage import Document, DocumentFormat

_CHUNKS_IN_FRAME = 64
LAST, NOT_LAST = b"\1", b"\0"  # first byte of an answer's last frame: whether the process ends with it


@dataclass(frozen=True, slots=True)
class SplitRequest:
    """A document, and the way of an index to split it. `export`: folder of the embedding model's export; `room`: tokens
    that the model sees of a passage.
    """

    document: Document
    settings: IndexSettings
    export: Path
    room: int


def encode_request(request: SplitRequest) -> bytes:
    """A request's bytes."""
    document, settings = request.document, request.settings
    head = {
        "id": document.id,
        "format": document.format.value,
        "title": document.title,
        "index": settings.name,
        "chunk_tokens": settings.chunk_tokens,
        "pack": settings.pack,
        "overlap": settings.overlap,
        "max_document_bytes": settings.max_document_bytes,
        "export": str(request.export),
        "room": request.room,
    }
    return json.dumps(head).encode() + b"\n" + document.content


def decode_request(body: bytes) -> SplitRequest:
    """The request; of its document and settings, what decides how it is split."""
    line, _, content = body.partition(b"\n")
    head = json.loads(line)
    settings = IndexSettings(
        name=head["index"],
        corpus=Path(),
        chunk_tokens=head["chunk_tokens"],
        pack=head["pack"],
        overlap=head["overlap"],
        max_document_bytes=head["max_document_bytes"],
    )
    document = Document(head["id"], content, DocumentFormat(head["format"]), head["title"])
    return SplitRequest(document, settings, Path(head["export"]), head["room"])


def encode_chunks(chunks: Sequence[Chunk]) -> Iterator[bytes]:
    """The bodies of the frames that bring them."""
    for at in range(0, len(chunks), _CHUNKS_IN_FRAME):
        yield json.dumps([asdict(chunk) for chunk in chunks[at : at + _CHUNKS_IN_FRAME]]).encode()


def decode_chunks(body: bytes) -> list[Chunk]:
    """The chunks of one frame; raises BrokenFrame for anything else."""
    try:
        return [_chunk(**fields) for fields in json.loads(body)]
    except (ValueError, TypeError) as error:
        raise BrokenFrame(f"no passages: {error}") from None


def _chunk(
    n: int,
    title: str,
    text: str,
    n_tokens: int,
    start: int,
    end: int,
    question: str,
    tags: list[str],
    place: str,
    fields: dict[str, Any],
) -> Chunk:
    """Raises TypeError."""
    numbers, texts = (n, n_tokens, start, end), (title, text, question, place, *tags, *fields)
    if (
        type(fields) is not dict
        or not all(type(one) is int for one in numbers)
        or not all(type(one) is str for one in texts)
    ):
        raise TypeError("a field of another type")
    return Chunk(n, title, text, n_tokens, start, end, question, tuple(tags), place, fields)
