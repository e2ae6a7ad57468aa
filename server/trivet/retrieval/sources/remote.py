"""What a place elsewhere offers: files with a name, and whether they are what was fetched before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import unquote

from trivet.retrieval.documents.documents import FORMATS
from trivet.types.passage import DocumentFormat

_MOST_OF_A_PART = 150  # bytes: file systems allow 255, and an ending may be added
_DIGEST = 16


class SourceError(Exception):
    """The place cannot be listed, or a file of it cannot be fetched; the message is for people."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """`name`: its path in the mirror. `where`: for messages, and what `fetch` asks for. `version`: equal only where the
    content is; empty if that is not known before it is fetched."""

    name: str
    where: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that is on the disk now. `name`: where its content belongs after all; `version`: to compare next time."""

    name: str
    version: str


class Remote(Protocol):
    """One place. Blocking; used in a process that may be killed."""

    def files(self) -> Iterator[RemoteFile]:
        """All that it offers; raises SourceError if that cannot be known, and then nothing is removed."""
        ...

    def fetch(self, file: RemoteFile, to: Path, known: str) -> Fetched | None:
        """Write a file's content; None if it is still what it was in the `known` version. Raises SourceError."""
        ...


def is_text_document(path: str) -> bool:
    """By its ending: a document, and no picture, which there may be many of that nobody reads."""
    return FORMATS.get(PurePosixPath(path).suffix.lower(), DocumentFormat.IMAGE) is not DocumentFormat.IMAGE


def mirror_name(parts: str) -> str:
    """A path of somebody else's as one in a folder of ours: nothing in it is hidden, leads out of it, or is too
    long."""
    names = [_safe(part) for part in unquote(parts).split("/")]
    return "/".join(name for name in names if name)


def _safe(part: str) -> str:
    text = "".join("_" if character < " " or character in "\\\x7f" else character for character in part.strip())
    if text.strip(".") == "":
        return ""
    if text.startswith("."):  # a folder's hidden files are no documents
        text = f"_{text[1:]}"
    data = text.encode("utf-8", "replace")
    if len(data) <= _MOST_OF_A_PART:
        return data.decode()
    stem, dot, ending = text.rpartition(".")
    digest = sha256(data).hexdigest()[:_DIGEST]
    kept = (stem or text).encode("utf-8", "replace")[: _MOST_OF_A_PART - _DIGEST - 20].decode("utf-8", "ignore")
    return f"{kept}~{digest}{dot}{ending[:16]}" if stem and len(ending) <= 16 else f"{kept}~{digest}"
