"""A place elsewhere, mirrored into a folder: what is new or another is fetched, what has gone is removed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

from trivet.retrieval.sources.remote import Fetched, Remote, RemoteFile, SourceError

_INCOMING = ".incoming"  # hidden: no build takes it
_STATE = ".mirror.json"
_NAMED = 100


@dataclass(slots=True)
class MirrorReport:
    """What a run has found. `failed`: the first ones, with why; `failures` counts all. Those stay as they were.

    `missing` counts those of them that the folder has nothing of, `first_missing` are the names they would have there,
    though a page's may get an ending."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    failures: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    missing: int = 0
    first_missing: list[str] = field(default_factory=list)

    def fail(self, file: RemoteFile, problem: str, *, missing: bool) -> None:
        """Note a file that could not be fetched."""
        self.failures += 1
        if len(self.failed) < _NAMED:
            self.failed.append((file.where[:300], problem[:300]))
        self.missing += missing
        if missing and len(self.first_missing) < _NAMED:
            self.first_missing.append(file.name)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is there of a remote file. `name`: its path in the folder, `size` in bytes."""

    name: str
    version: str
    size: int


class Mirror:
    """The folder, and a file in it that says what each file was when it was fetched. One process at a time."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        """`max_bytes`: of all files together."""
        self._folder = folder
        self._max_bytes = max_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._about = ""  # the place that it mirrors
        self._known = self._read()
        self._missing: set[str] = set()  # names of files that could not be fetched and of which nothing is known
        self._bytes = sum(known.size for known in self._known.values())

    def bring(self, remote: Remote, about: str, progress: Callable[[int, str], None]) -> MirrorReport:
        """Fetch what is needed; `about` names the place: with another one everything is fetched again.

        A file that cannot be fetched stays as it was; any other that is in the folder and not there is removed. Raises
        SourceError if the place cannot be listed, lists nothing where something was, or is larger than it may be; then
        nothing is removed.
        """
        report = MirrorReport()
        before = dict(self._known)
        if self._about != about:
            before, self._about = {}, about
        listed: dict[str, RemoteFile] = {}
        for number, file in enumerate(remote.files(), 1):
            listed[file.where] = file
            self._one(remote, file, before.get(file.where), report)
            progress(number, file.name)
            if number % _NAMED == 0:
                self._write()
        if not listed and self._known:
            raise SourceError(f"{about}: nothing is there any more; what was fetched stays")
        for where in [where for where in self._known if where not in listed]:
            gone = self._known.pop(where)
            if all(known.name != gone.name for known in self._known.values()):
                (self._folder / gone.name).unlink(missing_ok=True)
            self._bytes -= gone.size
            report.removed += 1
        self._write()
        self._sweep()
        return report

    def _sweep(self) -> None:
        """Remove what a run that was killed has left: files that nothing is known of. One of which nothing could be
        fetched now may be what an earlier run had of it."""
        names = {known.name for known in self._known.values()}
        for at, folders, files in os.walk(self._folder):
            here = PurePosixPath(at).relative_to(self._folder)
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in (here / file for file in files if not file.startswith(".")):
                if str(name) not in names and self._missing.isdisjoint({str(name), str(name.with_suffix(""))}):
                    (self._folder / name).unlink(missing_ok=True)

    def _one(self, remote: Remote, file: RemoteFile, known: _Known | None, report: MirrorReport) -> None:
        if known is not None and not (self._folder / known.name).is_file():
            known = None
        incoming = self._folder / _INCOMING
        try:
            fetched = remote.fetch(file, incoming, "" if known is None else known.version)
            if fetched is None:
                report.unchanged += 1
                return
            self._take(file, fetched, incoming, known, report)
        except (SourceError, OSError) as error:
            there = self._known.get(file.where)
            missing = there is None or not (self._folder / there.name).is_file()
            report.fail(file, str(error), missing=missing)
            if missing:
                self._missing.add(file.name)
        finally:
            incoming.unlink(missing_ok=True)

    def _take(
        self, file: RemoteFile, fetched: Fetched, incoming: Path, known: _Known | None, report: MirrorReport
    ) -> None:
        target = self._folder / fetched.name
        size = incoming.stat().st_size
        old = self._known.get(file.where)
        if self._bytes - (old.size if old else 0) + size > self._max_bytes:
            raise SourceError(f"all files together have more than {self._max_bytes:,} bytes, which is `max_bytes`")
        same = target.is_file() and target.stat().st_size == size and target.read_bytes() == incoming.read_bytes()
        if not same:
            target.parent.mkdir(parents=True, exist_ok=True)
            incoming.replace(target)
        if old is not None and old.name != fetched.name:
            (self._folder / old.name).unlink(missing_ok=True)
        self._bytes += size - (old.size if old else 0)
        self._known[file.where] = _Known(fetched.name, fetched.version, size)
        if same:
            report.unchanged += 1
        elif old is None:
            report.added += 1
        else:
            report.changed += 1

    def _read(self) -> dict[str, _Known]:
        """Nothing if it is not there or not what was written: then everything is fetched again."""
        with suppress(OSError, ValueError, TypeError, KeyError):
            state = json.loads((self._folder / _STATE).read_text())
            known = {where: _Known(**one) for where, one in state["files"].items()}
            self._about = state["about"]
            return known
        return {}

    def _write(self) -> None:
        new = self._folder / f"{_STATE}.new"
        state = {"about": self._about, "files": {where: asdict(one) for where, one in self._known.items()}}
        new.write_text(json.dumps(state))
        new.replace(self._folder / _STATE)
