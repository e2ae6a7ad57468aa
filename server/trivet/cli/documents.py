"""Files of the command line as documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from trivet.api.v1 import admin_pb2


def read_documents(
    files: Sequence[Path], document_id: str | None, tags: Sequence[str], tenant: str
) -> list[admin_pb2.Document]:
    """One document per file. An id that is met twice is refused before anything is sent."""
    if document_id is not None and len(files) > 1:
        raise click.UsageError("--id names one document: give one file with it")
    owners: dict[str, Path] = {}
    documents = []
    for path in files:
        name = document_id or path.stem
        if name in owners:
            raise click.UsageError(f"two files have the id {name!r}: {owners[name]} and {path}")
        owners[name] = path
        documents.append(
            admin_pb2.Document(id=name, content=path.read_bytes(), source=path.name, tags=tags, tenant=tenant)
        )
    return documents
