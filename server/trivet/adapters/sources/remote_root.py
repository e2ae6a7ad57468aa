"""Adapters in an object store or on a web server, over fsspec: looked up by name, and read in blocks by offset."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, BinaryIO, cast

import fsspec

from trivet.adapters.sources.source_file import FoundAdapter, SourceBroken, SourceChanged, SourceFile
from trivet.errors import AdapterSourceUnavailable
from trivet.types.adapter import RemoteLocation
from trivet.types.variant import VersionRef

BLOCK_BYTES = 4 << 20
CONNECT_SECONDS = 5
READ_SECONDS = 15
MAX_LISTED = 10_000
RETRY_AFTER = 5.0
WEB = ("http", "https")
# What the file systems call what changes with a file's content, the surest first.
TAGS = ("ETag", "etag", "generation", "md5Hash", "content_md5", "Last-Modified", "last_modified", "mtime", "created")
_log = logging.getLogger(__name__)


def file_system(place: RemoteLocation) -> Any:
    """The file system of fsspec for a place. It retries nothing: downloads go on where they stopped, in one place."""
    options: dict[str, Any] = {}
    try:
        if place.scheme == "s3":
            options = _s3_options(place)
        elif place.scheme in WEB:
            options = _web_options()
        system = fsspec.filesystem(place.scheme, use_listings_cache=False, skip_instance_cache=True, **options)
    except ImportError as problem:
        raise AdapterSourceUnavailable(f"{place} cannot be read: {problem}", RETRY_AFTER) from problem
    if place.scheme == "s3":
        system.retries = 1
    return system


def _s3_options(place: RemoteLocation) -> dict[str, Any]:
    return {
        "endpoint_url": place.endpoint_url,
        "client_kwargs": {"region_name": place.region} if place.region else {},
        "config_kwargs": {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "retries": {"total_max_attempts": 1},
        },
    }


def _web_options() -> dict[str, Any]:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
    return {"client_kwargs": {"timeout": timeout}}


class RemoteRoot:
    """An AdapterRoot."""

    def __init__(self, place: RemoteLocation, connect: Callable[[RemoteLocation], Any] = file_system) -> None:
        self._place = place
        self._connect = connect
        self._web = place.scheme in WEB
        self._path = (place.url if self._web else place.url.partition("://")[2]).strip("/")

    def find(self, ref: VersionRef, names: Sequence[str]) -> FoundAdapter | None:
        """Those of its files that are there, each asked for by itself: a folder's other files are never listed."""
        folder = f"{self._path}/{ref.name}/{ref.version}"
        found = {name: file for name in names if (file := self._file(name, f"{folder}/{name}"))}
        if not found:
            self._check_reachable()
        return FoundAdapter(found) if found else None

    def list(self) -> Iterator[VersionRef]:
        """Every version's folder, up to MAX_LISTED; nothing of a web server, which has no listing to rely on."""
        if self._web:
            return
        listed = 0
        for name in self._folders(self._path):
            for version in self._folders(f"{self._path}/{name}"):
                if listed == MAX_LISTED:
                    _log.warning("%s: only the first %d adapters are listed", self._place, MAX_LISTED)
                    return
                listed += 1
                yield VersionRef(name, version)

    @cached_property
    def _system(self) -> Any:
        return self._connect(self._place)

    def _folders(self, path: str) -> Sequence[str]:
        """The names of the folders in one, sorted; what is below them is not read."""
        with self._told():
            try:
                entries = self._system.ls(path, detail=True)
            except FileNotFoundError:
                entries = []
        if not entries:
            self._check_reachable()
        folders = (str(entry["name"]).strip("/") for entry in entries if entry["type"] == "directory")
        return sorted(folder.rpartition("/")[2] for folder in folders if folder != path)

    def _check_reachable(self) -> None:
        """Raise AdapterSourceUnavailable if nothing was found because the place itself cannot be read."""
        with self._told():
            if self._web:
                self._system.exists(self._path, strict=True)
            elif bucket := self._path.partition("/")[0]:
                self._system.info(bucket)

    def _file(self, name: str, path: str) -> SourceFile | None:
        with self._told():
            try:
                entry = self._system.info(path)
            except FileNotFoundError:
                if self._web:  # fsspec says so of every failure: a server that is down is found out here
                    self._system.exists(path, strict=True)
                return None
        if entry.get("type") != "file" or entry.get("size") is None:
            return None
        tag, size = _tag(entry), int(entry["size"])
        return SourceFile(name, size, tag, partial(self._open, path, tag, size))

    def _open(self, path: str, tag: str, size: int, offset: int) -> BinaryIO:
        with self._told():
            file = self._system.open(path, "rb", block_size=BLOCK_BYTES, cache_type="none")
            details = getattr(file, "details", None) or {}
            if not any(details.get(name) for name in TAGS):
                details = self._system.info(path)
        if _tag(details) != tag or int(details["size"]) != size:
            file.close()
            raise SourceChanged
        file.seek(offset)
        return cast(BinaryIO, _ReportingFile(file, self._told))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the place's library raises, in our words; the libraries have no common base for their errors."""
        try:
            yield
        except FileNotFoundError as problem:
            raise AdapterSourceUnavailable(f"{self._place} has no such bucket or object", RETRY_AFTER) from problem
        except PermissionError as problem:
            raise AdapterSourceUnavailable(
                f"{self._place} may not be read with these credentials", RETRY_AFTER
            ) from problem
        except (AdapterSourceUnavailable, SourceChanged):
            raise
        except Exception as problem:
            kind = type(problem).__name__
            if kind == "FileExpired":
                raise SourceChanged from problem
            if kind == "NoCredentialsError":
                raise AdapterSourceUnavailable(f"{self._place}: no credentials were found", RETRY_AFTER) from problem
            _log.warning("%s: %s: %s", self._place, kind, problem)
            raise SourceBroken(f"{self._place} cannot be read now ({kind})") from problem


class _ReportingFile:
    """A file of the place whose errors are ours."""

    def __init__(self, file: Any, told: Callable[[], Any]) -> None:
        self._file = file
        self._told = told

    def read(self, size: int) -> bytes:
        with self._told():
            return cast(bytes, self._file.read(size))

    def close(self) -> None:
        self._file.close()


def _tag(entry: Mapping[str, Any]) -> str:
    """What changes with the content; empty where a place has no such thing."""
    return next((str(entry[name]) for name in TAGS if entry.get(name)), "")
