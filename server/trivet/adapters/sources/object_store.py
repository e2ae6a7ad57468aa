"""Adapters in an object store, over fsspec: listed, and read in blocks by offset."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, BinaryIO, cast

import fsspec

from trivet.adapters.preflight.manifest import FILE as MANIFEST
from trivet.adapters.sources.source_file import SourceBroken, SourceChanged, SourceFile
from trivet.errors import AdapterSourceUnavailable
from trivet.types.adapter import S3Root
from trivet.types.variant import VersionRef

BLOCK_BYTES = 4 << 20
CONNECT_SECONDS = 5
READ_SECONDS = 15
RETRY_AFTER = 5.0
_log = logging.getLogger(__name__)


def s3_file_system(root: S3Root) -> Any:
    """The S3 file system of fsspec (`s3fs`). It retries nothing: downloads go on where they stopped, in one place."""
    try:
        system = fsspec.filesystem(
            "s3",
            endpoint_url=root.endpoint_url,
            client_kwargs={"region_name": root.region} if root.region else {},
            config_kwargs={
                "connect_timeout": CONNECT_SECONDS,
                "read_timeout": READ_SECONDS,
                "retries": {"total_max_attempts": 1},
            },
            use_listings_cache=False,
            skip_instance_cache=True,
        )
    except ImportError as problem:
        raise AdapterSourceUnavailable(f"{root} needs s3fs: install trivet[s3]", RETRY_AFTER) from problem
    system.retries = 1
    return system


class ObjectRoot:
    """An AdapterRoot. `path` is the store's name of the root, `url` ours."""

    def __init__(self, connect: Callable[[], Any], path: str, url: str) -> None:
        self._connect = connect
        self._path = path.strip("/")
        self._url = url

    def find(self, ref: VersionRef) -> Mapping[str, SourceFile] | None:
        """The objects of its folder; None if there is none."""
        folder = f"{self._path}/{ref.name}/{ref.version}"
        found = {}
        for path, entry in self._objects(folder).items():
            name = path.strip("/").removeprefix(f"{folder}/")
            if name and "/" not in name:
                found[name] = self._file(name, path, entry)
        return found or None

    def list(self) -> Iterator[VersionRef]:
        """Every adapter version that has a manifest: one listing."""
        for path in sorted(self._objects(self._path)):
            parts = path.strip("/").removeprefix(f"{self._path}/").split("/")
            if len(parts) == 3 and parts[2] == MANIFEST:
                yield VersionRef(parts[0], parts[1])

    @cached_property
    def _system(self) -> Any:
        return self._connect()

    def _objects(self, path: str) -> Mapping[str, Mapping[str, Any]]:
        with self._told():
            return cast(Mapping[str, Mapping[str, Any]], self._system.find(path, detail=True))

    def _file(self, name: str, path: str, entry: Mapping[str, Any]) -> SourceFile:
        tag, size = _tag(entry), int(entry["size"])
        return SourceFile(name, size, tag, partial(self._open, path, tag, size))

    def _open(self, path: str, tag: str, size: int, offset: int) -> BinaryIO:
        with self._told():
            file = self._system.open(path, "rb", block_size=BLOCK_BYTES, cache_type="none")
        details = file.details
        if _tag(details) != tag or int(details["size"]) != size:
            file.close()
            raise SourceChanged
        file.seek(offset)
        return cast(BinaryIO, _Told(file, self._told))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the store's library raises, in our words; it has no common base for its errors."""
        try:
            yield
        except FileNotFoundError as problem:
            raise AdapterSourceUnavailable(f"{self._url} has no such bucket or object", RETRY_AFTER) from problem
        except PermissionError as problem:
            raise AdapterSourceUnavailable(
                f"{self._url} may not be read with these credentials", RETRY_AFTER
            ) from problem
        except (AdapterSourceUnavailable, SourceChanged):
            raise
        except Exception as problem:
            kind = type(problem).__name__
            if kind == "FileExpired":
                raise SourceChanged from problem
            if kind == "NoCredentialsError":
                raise AdapterSourceUnavailable(f"{self._url}: no credentials were found", RETRY_AFTER) from problem
            _log.warning("%s: %s: %s", self._url, kind, problem)
            raise SourceBroken(f"{self._url} cannot be read now ({kind})") from problem


class _Told:
    """A file of the store whose errors are ours."""

    def __init__(self, file: Any, told: Callable[[], Any]) -> None:
        self._file = file
        self._told = told

    def read(self, size: int) -> bytes:
        with self._told():
            return cast(bytes, self._file.read(size))

    def close(self) -> None:
        self._file.close()


def _tag(entry: Mapping[str, Any]) -> str:
    """What changes with the content: S3's ETag, or the time of creation where a store has none."""
    return str(entry.get("ETag") or entry.get("created"))
