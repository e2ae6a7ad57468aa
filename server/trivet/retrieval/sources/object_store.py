"""An object store, through fsspec: what lies below a prefix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec

from trivet.retrieval.sources.remote import Fetched, RemoteFile, SourceError, is_text_document, mirror_name

_PIECE = 1 << 20


class ObjectStore:
    """Implements Remote."""

    def __init__(self, url: str, options: dict[str, Any], *, max_files: int, max_bytes: int) -> None:
        """`url`: `s3://bucket/prefix` and what else fsspec knows; `options`: for its file system. `max_bytes`: of a
        file. Raises SourceError if the file system's package is missing."""
        self._url = url
        self._max_files = max_files
        self._max_bytes = max_bytes
        try:
            self._files, self._root = fsspec.core.url_to_fs(url, **options)
        except ImportError as error:
            raise SourceError(f"{url}: its package is not installed ({error}); see docs/install.md") from None
        except Exception as error:  # of somebody else's file system
            raise SourceError(f"{url}: {type(error).__name__}: {error}"[:300]) from None

    def files(self) -> Iterator[RemoteFile]:
        """What has an ending of a document."""
        try:
            found = self._files.find(self._root, detail=True)
        except Exception as error:
            raise SourceError(f"{self._url}: cannot be listed ({type(error).__name__}: {error})"[:300]) from None
        if len(found) > self._max_files:
            raise SourceError(f"{self._url}: more than {self._max_files:,} files, which is `max_files`")
        for path, about in sorted(found.items()):
            if is_text_document(path):
                name = mirror_name(path.removeprefix(self._root).lstrip("/"))
                yield RemoteFile(name, path, _version(about))

    def fetch(self, file: RemoteFile, to: Path, known: str) -> Fetched | None:
        """A file, if its ETag, time or size is another."""
        if file.version and file.version == known:
            return None
        written = 0
        try:
            with self._files.open(file.where, "rb") as content, to.open("wb") as out:
                while part := content.read(_PIECE):
                    written += len(part)
                    if written > self._max_bytes:
                        raise SourceError(f"{file.where}: more than {self._max_bytes:,} bytes")
                    out.write(part)
        except SourceError:
            raise
        except Exception as error:
            raise SourceError(f"{file.where}: {type(error).__name__}: {error}"[:300]) from None
        return Fetched(file.name, file.version)


def _version(about: dict[str, Any]) -> str:
    """What changes with the content, of what the file system tells."""
    told = {key: str(about[key]) for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified") if about.get(key)}
    first = next(iter(told.items()), None)
    return "" if first is None else f"{first[0]} {first[1]} {about.get('size', '')}"
