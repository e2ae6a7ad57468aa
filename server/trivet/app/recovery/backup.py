"""`trivet backup`: a copy of a data folder, of one moment, also while a server writes to it.

Copied are the databases (by SQLite's own means), the logs of receipts up to their last whole line, those of a server's
front-end processes included, and the staged adapters. Vectors are not: they are made again from the document log, with
the cache of passages' vectors, which is copied, and without embedding anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from trivet import __version__
from trivet.adapters.preflight.preflight import FILES, digest
from trivet.adapters.staging.disk import remove, sync
from trivet.app.recovery.files import copy_file, digest_of, sync_folders
from trivet.app.recovery.manifest import FORMAT, NAME, BackedUpFile, Manifest, Report
from trivet.costs.log_files import OF_PROCESSES
from trivet.errors import FailedPrecondition
from trivet.stores.data_folder import RESTORING, elsewhere
from trivet.stores.sqlite import copy_database

_LOGS = "*.jsonl"
_LOGS_OF_PROCESSES = f"{OF_PROCESSES}/{_LOGS}"
_TAIL = 1 << 20
_TRIES = 5


def back_up(root: Path, target: Path, report: Report) -> Manifest:
    """Copy the data folder `root` to the new folder `target`, which appears whole or not at all.

    Raises FailedPrecondition if there is no data folder, a restore of it was not finished, `target` is not free, or a
    database is damaged; OSError.
    """
    root, target = root.resolve(), target.resolve()
    if (root / RESTORING).exists():
        raise FailedPrecondition(
            f"the data folder {root} is not whole: a restore was not finished. Run the same `trivet restore` again"
        )
    databases = _databases(root)
    if not databases and not any(root.glob(_LOGS_OF_PROCESSES)):  # a server of several may have no database of its own
        raise FailedPrecondition(f"{root} is not a data folder: it has no database")
    if target.is_relative_to(root):
        raise FailedPrecondition(f"{target} is inside the data folder: choose another place for the backup")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FailedPrecondition(f"{target} exists and is not an empty folder: choose a new one for each backup")
    with _unfinished(target) as work:
        copying = _Copying(root, work, report)
        for path in databases:
            copying.database(path)
        copying.logs()
        for path in sorted((root / "adapters").glob("*@*#*")):
            copying.adapter(path)
        places = [elsewhere(folder) for folder in (root, *sorted(root.glob(OF_PROCESSES)))]
        if place := next(filter(None, places), ""):
            copying.left_out.append(f"the state store: it is {place}, whose backup is its operator's")
        return copying.finish(target)


def _databases(root: Path) -> list[Path]:
    cache = root / "cache" / "passages.sqlite"
    return [*sorted(path for path in root.glob("*.sqlite") if path.is_file()), *([cache] if cache.is_file() else [])]


@contextlib.contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A folder beside `target` to write in, empty and ours alone; it goes if it is not used."""
    target.parent.mkdir(parents=True, exist_ok=True)
    work = target.with_name(f".{target.name}.unfinished")
    work.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FailedPrecondition(f"another backup to {target} is being made") from error
        for left in work.iterdir():  # by one that was killed
            remove(left)
        try:
            yield work
        finally:
            if work.exists():
                remove(work)
    finally:
        os.close(lock)


class _Copying:
    """One backup while it is made."""

    def __init__(self, root: Path, work: Path, report: Report) -> None:
        self._root = root
        self._work = work
        self._report = report
        self._files: list[BackedUpFile] = []
        self._schemas: dict[str, int] = {}
        self.left_out: list[str] = []  # with the reason

    def database(self, path: Path) -> None:
        """A copy of one moment; a damaged cache is left out, another damaged database is an error."""
        name = path.relative_to(self._root).as_posix()
        copy = self._work / name
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._schemas[name] = copy_database(path, copy, lambda done, total: self._report(name, done, total))
        except FailedPrecondition as error:
            if path.parent == self._root:
                raise
            copy.unlink(missing_ok=True)
            self.left_out.append(f"{name}: {error}")
            return
        copy.chmod(0o600)
        size = copy.stat().st_size
        self._files.append(BackedUpFile(path=name, bytes=size, sha256=digest_of(copy, lambda _: None)))

    def logs(self) -> None:
        """All lines of all logs that are whole now; again, if a file was put aside or removed meanwhile."""
        for _ in range(_TRIES):
            before = self._log_files()
            try:
                copies = [self._lines(path) for path in before]
            except FileNotFoundError:
                copies = None
            if copies is not None and self._log_files() == before:
                self._files += copies
                return
            for pattern in (_LOGS, _LOGS_OF_PROCESSES):
                for copy in self._work.glob(pattern):
                    copy.unlink()
        raise FailedPrecondition(
            "the logs of receipts change faster than they can be copied: raise receipts.file_bytes"
        )

    def _log_files(self) -> dict[Path, int]:
        """With their inodes: a name may have come to be another file's."""
        found = [*self._root.glob(_LOGS), *self._root.glob(_LOGS_OF_PROCESSES)]
        return {path: path.stat().st_ino for path in sorted(found)}

    def _lines(self, path: Path) -> BackedUpFile:
        size = _whole_lines(path)
        name = path.relative_to(self._root).as_posix()
        return copy_file(path, self._work / name, self._work, self._counted(name, size), size)

    def adapter(self, path: Path) -> None:
        """A staged adapter, unless it is damaged or a server removes it meanwhile: then it is staged again."""
        name = path.relative_to(self._root).as_posix()
        copy = self._work / name
        try:
            total = sum((path / file).stat().st_size for file in FILES)
            done = self._counted(name, total)
            files = [copy_file(path / file, copy / file, self._work, done) for file in FILES]
        except (FileNotFoundError, NotADirectoryError) as error:
            self._leave_out(copy, name, f"{error.filename} is not there")
            return
        _, config, tensors = (copy / file for file in FILES)
        if digest(config, tensors)[:12] != path.name.rpartition("#")[2]:
            self._leave_out(copy, name, "its files do not have its digest")
            return
        self._files += files

    def finish(self, target: Path) -> Manifest:
        """Write the manifest and give the backup its name."""
        manifest = Manifest(
            format=FORMAT,
            trivet=__version__,
            time=datetime.now(UTC),
            schemas=self._schemas,
            files=self._files,
            left_out=self.left_out,
        )
        with (self._work / NAME).open("w") as file:
            file.write(manifest.model_dump_json(indent=2))
            file.flush()
            os.fsync(file.fileno())
        sync_folders(self._work)
        self._work.rename(target)
        sync(target.parent)
        return manifest

    def _leave_out(self, copy: Path, name: str, reason: str) -> None:
        if copy.exists():
            remove(copy)
        self.left_out.append(f"{name}: {reason}")

    def _counted(self, name: str, total: int) -> _Counted:
        return _Counted(self._report, name, total)


class _Counted:
    """Adds up what a report is told in pieces."""

    def __init__(self, report: Report, name: str, total: int) -> None:
        self._report = report
        self._name = name
        self._total = total
        self._done = 0

    def __call__(self, more: int) -> None:
        self._done += more
        self._report(self._name, self._done, self._total)


def _whole_lines(path: Path) -> int:
    """Bytes up to the end of the last whole line."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _TAIL)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
    return 0
