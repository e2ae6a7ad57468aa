"""Which files of a corpus folder are documents."""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from trivet.errors import FailedPrecondition
from trivet.retrieval.corpus.report import CorpusReportBuilder
from trivet.retrieval.corpus.safe_open import LEADS_OUT
from trivet.retrieval.documents.documents import FORMATS
from trivet.retrieval.documents.ids import printable
from trivet.retrieval.settings import CorpusSelection
from trivet.types.passage import DocumentFormat
from trivet.types.text.path_pattern import PathPattern

_SORTED_AT_ONCE = 10_000
_FOLDER_LINK = "is a link to a folder, expected `follow_links: true` in index.yaml"
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True)
class _Folder:
    """One that is being walked. `included`: a pattern of `include` fits it, and so all that is in it."""

    path: tuple[str, ...]
    included: bool
    entries: Iterator[os.DirEntry[str]]
    identity: tuple[int, int]


class Walk:
    """Walks a corpus folder, a name after another in each folder; only what `follow_links` allows leaves the folder.

    Nothing is opened but folders. Hidden files and folders are none of the corpus.
    """

    def __init__(
        self,
        corpus: Path,
        selection: CorpusSelection,
        report: CorpusReportBuilder,
        refuse: Callable[[str, str], None],
    ) -> None:
        """`refuse` is called with the path of a file or, with a slash at its end, folder that may not or cannot be
        opened, and why."""
        self._corpus = corpus
        self._selection = selection
        self._report = report
        self._refuse = refuse
        self._looked_at = 0
        self._endings = {
            ending for ending, format_ in FORMATS.items() if selection.images or format_ is not DocumentFormat.IMAGE
        }

    def __iter__(self) -> Iterator[str | None]:
        """For each entry the file's path relative to the corpus if it is a document's, else None.

        Raises FailedPrecondition if there is no such folder, or more in it than `max_files`.
        """
        try:
            self._root = self._corpus.resolve(strict=True)
            folders = [self._folder((), included=not self._selection.include)]
        except OSError as error:
            name = f"{self._corpus.parent.name}/{self._corpus.name}"
            raise FailedPrecondition(f"there is no corpus folder {name} ({error.strerror})") from error
        while folders:
            entry = next(folders[-1].entries, None)
            if entry is None:
                folders.pop()
                continue
            yield self._look_at(entry, folders)

    def _folder(self, path: tuple[str, ...], *, included: bool) -> _Folder:
        """Raises OSError if it cannot be listed."""
        at = self._corpus.joinpath(*path)
        status = at.stat()
        room = self._selection.max_files - self._looked_at
        with os.scandir(at) as entries:
            runs = list(_sorted_runs(islice(entries, room + 1)))
        self._looked_at += sum(map(len, runs))
        if self._looked_at > self._selection.max_files:
            raise FailedPrecondition(
                f"the corpus folder has more than {self._selection.max_files:,} files and folders, which is max_files "
                "in index.yaml"
            )
        return _Folder(path, included, heapq.merge(*runs, key=_name), (status.st_dev, status.st_ino))

    def _look_at(self, entry: os.DirEntry[str], folders: list[_Folder]) -> str | None:
        """The path of a file that is taken; a folder to walk is put on top of `folders`."""
        inside = folders[-1]
        path = (*inside.path, entry.name)
        if entry.name.startswith("."):
            return None
        try:
            kind = stat.S_IFMT(entry.stat().st_mode) if entry.is_symlink() else _kind(entry)
        except OSError as error:
            kind, problem = stat.S_IFLNK, f"is a link to nothing ({error.strerror})"
        else:
            problem = self._problem(entry, kind, folders)
        folder = kind == stat.S_IFDIR
        if _any_fits(self._selection.ignore, path, folder=folder):
            self._report.excluded += 1
            return None
        included = inside.included or _any_fits(self._selection.include, path, folder=folder)
        name = "/".join(path)
        ending = PurePosixPath(entry.name).suffix.lower()
        if not folder and kind not in _KINDS and ending not in self._endings:
            self._report.ignore(printable(ending))
            return None
        if not folder and not included:
            self._report.excluded += 1
            return None
        if problem:
            self._refuse(f"{name}/" if folder else name, problem)
            return None
        if not folder:
            return name
        try:
            folders.append(self._folder(path, included=included))
        except OSError as error:
            self._refuse(f"{name}/", f"cannot be read: {error.strerror}")
        return None

    def _problem(self, entry: os.DirEntry[str], kind: int, folders: Sequence[_Folder]) -> str:
        """Why it may not be opened; empty if it may."""
        if kind in _KINDS:
            return f"is {_KINDS[kind]}, expected a regular file"
        if not entry.is_symlink():
            return ""
        if not self._selection.follow_links:
            if kind == stat.S_IFDIR:
                return _FOLDER_LINK
            return "" if Path(entry.path).resolve().is_relative_to(self._root) else LEADS_OUT
        status = entry.stat()
        cycle = kind == stat.S_IFDIR and (status.st_dev, status.st_ino) in {folder.identity for folder in folders}
        return "is a link to a folder that it is in" if cycle else ""


def _sorted_runs(entries: Iterator[os.DirEntry[str]]) -> Iterator[list[os.DirEntry[str]]]:
    """A folder's entries in sorted pieces: sorting many at once would keep other threads waiting."""
    while run := list(islice(entries, _SORTED_AT_ONCE)):
        yield sorted(run, key=_name)


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _kind(entry: os.DirEntry[str]) -> int:
    """Of one that is no link."""
    if entry.is_file(follow_symlinks=False):
        return stat.S_IFREG
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)


def _any_fits(patterns: Sequence[PathPattern], path: Sequence[str], *, folder: bool) -> bool:
    return any(pattern.fits(path, folder=folder) for pattern in patterns)
