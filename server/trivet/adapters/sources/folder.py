"""Local folders: of adapters, where links stay inside, and of one adapter. Only plain files are read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from trivet.adapters.preflight.manifest import FILE as MANIFEST
from trivet.adapters.sources.source_file import FoundAdapter, SourceFile
from trivet.errors import AdapterRejected
from trivet.types.adapter import FolderAdapter
from trivet.types.variant import VersionRef


class FolderRoot:
    """An AdapterRoot. Messages never name a path outside the adapter's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, ref: VersionRef, names: Sequence[str]) -> FoundAdapter | None:
        """Those of its files that are there, links resolved; None if there is no such folder.

        Raises AdapterRejected if the folder or one of the files is a link out of the root.
        """
        folder = self._folder / ref.name / ref.version
        if not folder.is_dir():
            return None
        root = self._folder.resolve()
        _inside(root, folder, "the folder")
        return FoundAdapter({name: _file(root, folder / name) for name in names if os.path.lexists(folder / name)})

    def list(self) -> Iterator[VersionRef]:
        """Every adapter version that has a manifest."""
        for path in sorted(self._folder.glob(f"*/*/{MANIFEST}")):
            yield VersionRef(path.parent.parent.name, path.parent.name)


class SingleFolder:
    """An AdapterRoot with one adapter, for commands: their caller may read what its links lead to."""

    def __init__(self, adapter: FolderAdapter) -> None:
        self._adapter = adapter

    def find(self, ref: VersionRef, names: Sequence[str]) -> FoundAdapter | None:
        """Those of the files that are there, links resolved; None for another adapter than its own."""
        folder = self._adapter.folder
        if ref != self._adapter.ref or not folder.is_dir():
            return None
        files = {name: _file(Path("/"), folder / name) for name in names if os.path.lexists(folder / name)}
        described = os.path.lexists(folder / MANIFEST)
        return FoundAdapter(files, {} if described else {"folder": folder.resolve().name})

    def list(self) -> Iterator[VersionRef]:
        """Its one adapter."""
        yield self._adapter.ref


def _file(root: Path, path: Path) -> SourceFile:
    resolved = _inside(root, path, path.name)
    status = resolved.stat()
    if not stat.S_ISREG(status.st_mode):
        raise AdapterRejected(f"{path.name} is not a plain file")
    stamp = f"{status.st_ino} {status.st_mtime_ns} {status.st_ctime_ns}"
    return SourceFile(path.name, status.st_size, None, partial(_open, resolved, path.name), stamp)


def _inside(root: Path, path: Path, what: str) -> Path:
    try:
        resolved = path.resolve(strict=True)
    except OSError as problem:
        raise AdapterRejected(f"{what} is a link to nothing") from problem
    if not resolved.is_relative_to(root):
        raise AdapterRejected(f"{what} is a link out of the adapters' folder, expected a file inside it")
    return resolved


def _open(path: Path, name: str, offset: int) -> BinaryIO:
    """The path had its links resolved: one that is there now was put there since. A pipe must not hang us."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as problem:
        raise AdapterRejected(f"{name} cannot be read: {problem.strerror}") from problem
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise AdapterRejected(f"{name} is not a plain file")
    file.seek(offset)
    return file
