"""Files of the command line as documents."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import click

from trivet.api.v1 import admin_pb2
from trivet.retrieval.corpus.files import RefusedPart, documents_of_file, parse_time
from trivet.retrieval.documents.ids import printable
from trivet.rpc.admin_wire import document_to_proto
from trivet.types.passage import Document, DocumentFormat


@dataclass(frozen=True, slots=True)
class Given:
    """What the options say of the documents; a line of a `.jsonl` file goes before them, its tags join theirs,
    and so do its fields."""

    document_id: str | None = None
    format: str | None = None
    title: str = ""
    tags: tuple[str, ...] = ()
    tenant: str = ""
    valid_from: float | None = None
    valid_until: float | None = None
    fields: Mapping[str, Any] | None = None


FORMATS_BY_NAME = {format_.value: format_ for format_ in DocumentFormat}


class Moment(click.ParamType[float]):
    """RFC 3339, as seconds since 1970."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return parse_time(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@dataclass(frozen=True, slots=True)
class GivenDocument:
    """A document in one of the files. `where`: the file, and the line of it; `size` in bytes.

    `guessed`: the encoding that the file was taken to be in, empty if it says so itself.
    """

    where: str
    size: int
    guessed: str


def survey(files: Sequence[Path], given: Given) -> list[GivenDocument]:
    """What is in the files, before anything is sent; raises click.UsageError for the first thing that is wrong."""
    found: list[GivenDocument] = []
    owners: dict[tuple[str, str], str] = {}
    for path, document, guessed in _read(files, given):
        identity = (document.tenant, document.id)
        if (first := owners.setdefault(identity, path)) != path:
            raise click.UsageError(f"the id {document.id!r} belongs to two files: {first} and {path}")
        found.append(GivenDocument(path, len(document.content), guessed))
        for option, value in (("--id", given.document_id), ("--title", given.title)):
            if value and max(len(found), len(files)) > 1:
                raise click.UsageError(f"{option} names one document: give one file that holds one document")
    return found


def read_documents(files: Sequence[Path], given: Given) -> Iterator[admin_pb2.Document]:
    """The documents in the files, one after another; raises click.UsageError for what cannot be read."""
    for _, document, _ in _read(files, given):
        yield document_to_proto(document)


def _read(files: Sequence[Path], given: Given) -> Iterator[tuple[str, Document, str]]:
    """Where each document stands, it, and the encoding that was guessed."""
    for path in files:
        for found in documents_of_file(path, PurePath(path.name), format_=FORMATS_BY_NAME.get(given.format or "")):
            where = found.where if path.parent == Path() else f"{printable(str(path.parent))}/{found.where}"
            if isinstance(found, RefusedPart):
                raise click.UsageError(f"{where}: {found.problem}")
            yield where, _as_given(found.document, given), found.guessed


def _as_given(document: Document, given: Given) -> Document:
    document_id = document.id if given.document_id is None else unicodedata.normalize("NFC", given.document_id)
    return replace(
        document,
        id=document_id,
        title=given.title or document.title,
        tags=tuple(dict.fromkeys((*document.tags, *given.tags))),
        tenant=document.tenant or given.tenant,
        valid_from=given.valid_from if document.valid_from is None else document.valid_from,
        valid_until=given.valid_until if document.valid_until is None else document.valid_until,
        fields={**(given.fields or {}), **document.fields},
    )
