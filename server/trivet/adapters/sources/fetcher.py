"""All files of an adapter from its source into a folder, one attempt at a time for each adapter."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock

from trivet.adapters.preflight.manifest import parse_manifest
from trivet.adapters.preflight.preflight import FILES
from trivet.adapters.sources.download import BLOCK_BYTES, RETRY_AFTER, Download
from trivet.adapters.sources.source import AdapterSource
from trivet.adapters.sources.source_file import SourceBroken, SourceChanged, SourceFile
from trivet.errors import AdapterRejected, AdapterSourceUnavailable
from trivet.types.adapter import FetchProgress
from trivet.types.variant import VersionRef

PARTIAL = ".partial-"
CHANGES = 3


@dataclass(frozen=True, slots=True)
class Fetched:
    """`resumed`: parts of it were here already. `origin`: as its source says."""

    resumed: bool
    origin: Mapping[str, str]


class AdapterFetcher:
    """Any thread may call it; every method but `progress` and `stop` blocks.

    `folder` is for what downloads that broke off leave behind, each in `.partial-name@version`. `seconds` bounds one
    adapter.
    """

    def __init__(self, source: AdapterSource, folder: Path, seconds: float) -> None:
        self._source = source
        self._folder = folder
        self._seconds = seconds
        self._stop = Event()
        self._locks: dict[VersionRef, list[Lock]] = {}  # as many times as somebody has it or waits for it
        self._counting = Lock()
        self._progress: dict[VersionRef, FetchProgress] = {}

    @contextmanager
    def alone(self, ref: VersionRef) -> Iterator[None]:
        """Wait until nobody else fetches this adapter."""
        with self._counting:
            users = self._locks.setdefault(ref, [])
            lock = users[0] if users else Lock()
            users.append(lock)
        try:
            with lock:
                yield
        finally:
            with self._counting:
                users.pop()
                if not users:
                    del self._locks[ref]

    def fetch(self, ref: VersionRef, target: Path) -> Fetched:
        """Copy its files into `target`.

        Raises NotFound, AdapterRejected and AdapterSourceUnavailable.
        """
        deadline = time.monotonic() + self._seconds
        try:
            for _ in range(CHANGES):
                try:
                    return self._fetch(ref, target, deadline)
                except SourceChanged:
                    continue
                except AdapterRejected as problem:
                    raise AdapterRejected(f"adapter {ref}: {problem}") from problem
            raise AdapterSourceUnavailable(f"adapter {ref}: its files change while they are read", RETRY_AFTER)
        finally:
            self._progress.pop(ref, None)

    def progress(self, ref: VersionRef) -> FetchProgress | None:
        """How far it is; None if it is not being fetched."""
        return self._progress.get(ref)

    def digest(self, ref: VersionRef) -> str | None:
        """The digest of what the source has now: of a distant one, as its manifest says; None without a manifest.

        Raises what `fetch` does.
        """
        found = self._source.find(ref)
        if found.origin:
            return None
        manifest, *content = (found.files[name] for name in FILES)
        try:
            if manifest.tag is not None:
                return parse_manifest(b"".join(_blocks(manifest)), ref).digest
            total = hashlib.sha256()
            for file in content:
                for block in _blocks(file):
                    total.update(block)
            return total.hexdigest()
        except (SourceBroken, SourceChanged) as problem:
            raise AdapterSourceUnavailable(f"adapter {ref}: {problem}", RETRY_AFTER) from problem

    def fingerprint(self, ref: VersionRef) -> str:
        """See `AdapterSource.fingerprint`."""
        return self._source.fingerprint(ref)

    def forget(self, ref: VersionRef) -> None:
        """Delete what a download that broke off left behind."""
        with self.alone(ref):
            shutil.rmtree(self._folder / f"{PARTIAL}{ref}", ignore_errors=True)

    def stop(self) -> None:
        """End all downloads, at the next block; what they have is kept for the next start."""
        self._stop.set()

    def _fetch(self, ref: VersionRef, target: Path, deadline: float) -> Fetched:
        found = self._source.find(ref)
        files = found.files
        total, before, resumed = sum(file.size for file in files.values()), 0, False
        for name, file in files.items():
            distant = file.tag is not None
            partial = self._folder / f"{PARTIAL}{ref}" / name if distant else target / f".{name}"
            (target / name).unlink(missing_ok=True)

            def told(fetched: int, before: int = before) -> None:
                self._progress[ref] = FetchProgress(before + fetched, total)

            resumed |= Download(file, target / name, partial, self._stop).run(deadline, told)
            before += file.size
        shutil.rmtree(self._folder / f"{PARTIAL}{ref}", ignore_errors=True)
        return Fetched(resumed, found.origin)


def partial_of(path: Path) -> str | None:
    """The `name@version` that a folder is the begun download of, if it is one."""
    return path.name.removeprefix(PARTIAL) if path.name.startswith(PARTIAL) else None


def _blocks(file: SourceFile) -> Iterator[bytes]:
    with closing(file.open(0)) as source:
        while block := source.read(BLOCK_BYTES):
            yield block
