"""An adapter in a repository of a model hub: PEFT's two files of one commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO, cast

from trivet.adapters.sources.source_file import FoundAdapter, SourceBroken, SourceFile
from trivet.errors import AdapterSourceUnavailable
from trivet.model_hub import HubBroken, HubMissing, HubRepository
from trivet.types.adapter import HubAdapter
from trivet.types.variant import VersionRef

RETRY_AFTER = 5.0


class HubRoot:
    """An AdapterRoot with one adapter. Its revision is looked up at each `find`; all files are of one commit."""

    def __init__(self, adapter: HubAdapter) -> None:
        self._adapter = adapter
        self._repository = HubRepository(adapter.repository, adapter.endpoint)

    def find(self, ref: VersionRef, names: Sequence[str]) -> FoundAdapter | None:
        """Those of the files that the repository has; None for another adapter than its own."""
        if ref != self._adapter.ref:
            return None
        with _told():
            commit = self._repository.commit(self._adapter.revision)
            sizes = self._repository.sizes(names, commit)
        files = {
            name: SourceFile(name, size, commit, partial(self._open, name, commit)) for name, size in sizes.items()
        }
        return FoundAdapter(files, {"hub": str(self._adapter), "commit": commit})

    def list(self) -> Iterator[VersionRef]:
        """Its one adapter, whether or not the hub has it."""
        yield self._adapter.ref

    def _open(self, name: str, commit: str, offset: int) -> BinaryIO:
        with _told():
            return cast(BinaryIO, _ReportingFile(self._repository.open(name, commit, offset)))


class _ReportingFile:
    """A file whose errors are those of a source."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        with _told():
            return self._file.read(size)

    def close(self) -> None:
        self._file.close()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except HubMissing as problem:
        raise AdapterSourceUnavailable(str(problem), RETRY_AFTER) from problem
    except HubBroken as problem:
        raise SourceBroken(str(problem)) from problem
