"""Files of the command line as documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import click

from trivet.api.v1 import admin_pb2
from trivet.errors import DocumentRejected
from trivet.retrieval.documents.files import documents_of_file, parse_time
from trivet.rpc.admin_wire import document_to_proto
from trivet.types.passage import Document, DocumentFormat


@dataclass(frozen=True, slots=True)
class Given:
    """What the options say of the documents; a line of a `.jsonl` file goes before them, its tags join theirs."""

    document_id: str | None = None
    format: str | None = None
    title: str = ""
    tags: tuple[str, ...] = ()
    tenant: str = ""
    valid_from: float | None = None
    valid_until: float | None = None


FORMATS_BY_NAME = {format_.value: format_ for format_ in DocumentFormat}


class Moment(click.ParamType[float]):
    """RFC 3339, as seconds since 1970."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return parse_time(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def read_documents(files: Sequence[Path], given: Given) -> list[admin_pb2.Document]:
    """The documents in the files. An id that is met twice is refused before anything is sent."""
    owners: dict[tuple[str, str], Path] = {}
    documents: list[admin_pb2.Document] = []
    for path in files:
        for document in _documents(path, given):
            documents.append(document_to_proto(document))
            _check_single(given, max(len(documents), len(files)))
            identity = (document.tenant, document.id)
            first = owners.setdefault(identity, path)
            if first != path:
                raise click.UsageError(f"two files have the id {document.id!r}: {first} and {path}")
    return documents


def _check_single(given: Given, count: int) -> None:
    for option, value in (("--id", given.document_id), ("--title", given.title)):
        if value and count > 1:
            raise click.UsageError(f"{option} names one document: give a file with one alone")


def _documents(path: Path, given: Given) -> Iterator[Document]:
    try:
        for document in documents_of_file(path, PurePath(path.name), FORMATS_BY_NAME.get(given.format or "")):
            yield Document(
                id=given.document_id or document.id,
                content=document.content,
                format=document.format,
                title=given.title or document.title,
                source=document.source,
                tags=tuple(dict.fromkeys((*document.tags, *given.tags))),
                tenant=document.tenant or given.tenant,
                valid_from=given.valid_from if document.valid_from is None else document.valid_from,
                valid_until=given.valid_until if document.valid_until is None else document.valid_until,
            )
    except DocumentRejected as error:
        raise click.UsageError(f"{path.parent / str(error)}" if path.parent != Path() else str(error)) from None
