"""What a build found in an index's corpus folder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file, a line of one (`name:line`) or a folder that was not taken, and why.

    `kept`: its document, or those of it, were taken by an earlier build and stay as they are.
    """

    file: str
    reason: str
    kept: bool = False


@dataclass(frozen=True, slots=True)
class GuessedEncoding:
    """A file that is no UTF-8 and does not say what it is: what it was read as."""

    file: str
    encoding: str


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync has found in an index's source. `failures` counts files that could not be fetched and stay as they
    were; `failed` names the first ones, each with why. `missing` counts those of them of which nothing was fetched
    earlier either; `first_missing` are the names they would have in the corpus folder, maybe without the ending."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    failures: int = 0
    failed: tuple[tuple[str, str], ...] = ()
    missing: int = 0
    first_missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CorpusReport:
    """What was taken over from a corpus folder and what was not.

    `files` were read, with `documents` in them. `skipped` counts what could not be taken, `first_skipped` names the
    first ones. `ignored` counts files whose ending names no format, `ignored_kinds` the most frequent endings;
    `excluded` counts files and folders that the index's settings leave out. `guessed` counts encodings, and
    `first_guessed` names the first files.
    """

    files: int = 0
    documents: int = 0
    skipped: int = 0
    first_skipped: tuple[SkippedFile, ...] = ()
    ignored: int = 0
    ignored_kinds: tuple[tuple[str, int], ...] = ()
    excluded: int = 0
    guessed: int = 0
    first_guessed: tuple[GuessedEncoding, ...] = ()
