"""The Python manual as a corpus with questions: Debian's package `python3.11-doc`, fetched when it is needed.

Nothing of it is in this repository. The package comes from the mirror that the machine's apt is configured with, is
unpacked beside, not installed, and kept in a cache folder.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.searching.rest_sections import Section, sections

PACKAGE = "python3.11-doc"
QUESTIONS, IDENTIFIERS = "questions", "identifiers"
_SOURCES = Path("usr/share/doc/python3.11/html/_sources")
_ENDING = ".rst.txt"
_FAQ = "faq/"
_NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
_SIGNATURE = 24  # characters of a signature that are enough to know it by, where a passage ends within it
_KINDS = {
    "function", "class", "method", "classmethod", "staticmethod", "exception", "decorator", "coroutinefunction",
    "coroutinemethod", "abstractmethod", "c:function",
}  # fmt: skip


class Unavailable(Exception):
    """The package cannot be had here; says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One section as it is indexed: its id, its title (the headings above) and its text."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Query:
    """A query whose answer is known: it is in section `section` and, if `signature` is set, where that stands."""

    kind: str
    text: str
    section: str
    signature: str = ""

    def answered_by(self, section: str, text: str) -> bool:
        """Whether a passage is the answer."""
        if section != self.section or not self.signature:
            return section == self.section
        lines = (" ".join(line.split()) for line in text.splitlines())
        enough = self.signature[:_SIGNATURE]
        return any(line == self.signature or (len(enough) == _SIGNATURE and line.startswith(enough)) for line in lines)


def fetch(folder: Path) -> Path:
    """The folder with the manual's sources, fetched into `folder` if need be. Raises Unavailable."""
    sources = folder / PACKAGE / _SOURCES
    if sources.is_dir():
        return sources
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise Unavailable(f"no {program} here: the package {PACKAGE} needs a Debian or Ubuntu machine")
    folder.mkdir(parents=True, exist_ok=True)
    _run(["apt-get", "download", PACKAGE], folder)
    package = max(folder.glob(f"{PACKAGE}_*.deb"))
    unpacked = folder / f"{PACKAGE}.unfinished"
    shutil.rmtree(unpacked, ignore_errors=True)
    _run(["dpkg-deb", "--extract", package.name, unpacked.name], folder)
    unpacked.rename(folder / PACKAGE)
    if not sources.is_dir():
        raise Unavailable(f"{package.name} has no folder {_SOURCES}")
    return sources


def read(sources: Path, pages: Sequence[str] = ()) -> list[Section]:
    """The sections of all pages, or of those whose names begin with one of `pages`."""
    found: list[Section] = []
    for path in sorted(sources.rglob(f"*{_ENDING}")):
        page = path.relative_to(sources).as_posix().removesuffix(_ENDING)
        if not pages or page.startswith(tuple(pages)):
            found += sections(page, path.read_text())
    return found


def entries(found: Sequence[Section]) -> list[Entry]:
    """What is indexed. A question of the FAQ is not: its section keeps only the headings above it."""
    made = []
    for section in found:
        headings = section.path[:-1] if _is_question(section) else section.path
        made.append(Entry(section.id, " > ".join(headings) or section.page, section.text))
    return made


def questions(found: Sequence[Section]) -> list[Query]:
    """The FAQ's questions, but for one that is asked twice; each is answered by its own section."""
    asked = [section for section in found if _is_question(section)]
    times = Counter(section.path[-1] for section in asked)
    return [Query(QUESTIONS, section.path[-1], section.id) for section in asked if times[section.path[-1]] == 1]


def identifiers(found: Sequence[Section], number: int) -> list[Query]:
    """Names of functions, classes and methods that are described exactly once, answered by the passage in which the
    description begins. Drawn: those with the smallest SHA-256, which has nothing to do with what they are."""
    described = [(section, one) for section in found for one in section.descriptions]
    times = Counter(one.name for _, one in described)
    chosen = [
        Query(IDENTIFIERS, one.name, section.id, one.line)
        for section, one in described
        if one.kind in _KINDS and times[one.name] == 1 and _NAME.fullmatch(one.name)
    ]
    return sorted(chosen, key=lambda query: hashlib.sha256(query.text.encode()).digest())[:number]


def _is_question(section: Section) -> bool:
    return section.page.startswith(_FAQ) and bool(section.path) and section.path[-1].endswith("?")


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(f"{' '.join(command)}: {last}")
