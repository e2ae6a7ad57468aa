"""Lines in a file that is put aside when it is large or old; the oldest of these go when all together are too large.

The file that grows keeps its name (`receipts.jsonl`); what was put aside is numbered (`receipts-000001.jsonl`), the
oldest first, whatever the clock did.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class LogLimits:
    """When the file is put aside, and how much stays. Bytes; seconds since the last file was put aside."""

    file_bytes: int = 64 << 20
    file_seconds: float = 86_400.0
    total_bytes: int = 4 << 30


class LogFiles:
    """Appends whole lines, also after a write that failed half-way. May be used from several threads."""

    def __init__(self, path: Path, limits: LogLimits, clock: Callable[[], float] = time.time) -> None:
        """Open `path`, or make it; OSError. A last line that a crash cut short is closed off: readers skip it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._limits = limits
        self._clock = clock
        self._lock = Lock()
        self._descriptor = -1
        self._torn = False
        self._open()
        aside = self._aside()
        self._began = aside[-1].stat().st_mtime if aside else clock()
        self._retain()

    def append(self, lines: bytes) -> int:
        """Write lines, the last one with its end; how many of the bytes arrived, cut back to whole lines.

        Raises OSError if nothing arrived. What did not arrive may be appended again.
        """
        with self._lock:
            if self._moved_away():
                os.close(self._descriptor)
                self._open()
            if self._due():
                self._put_aside()
            if self._torn:
                os.write(self._descriptor, b"\n")
                self._torn = False
            written = os.write(self._descriptor, lines)
            if written == len(lines):
                return written
            whole = lines.rfind(b"\n", 0, written) + 1
            self._torn = whole != written
            return whole

    def latest(self, most_bytes: int, stack: ExitStack) -> list[BinaryIO]:
        """The files that hold the last `most_bytes`, newest first, open until `stack` is closed."""
        with self._lock:
            return latest_files(self._path, most_bytes, stack)

    def close(self) -> None:
        """Nothing is appended any more."""
        with self._lock:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        self._descriptor = -1  # should this fail
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._descriptor).st_size
        self._torn = size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"

    def _moved_away(self) -> bool:
        """Whether somebody else, such as logrotate, has put the file aside."""
        if self._descriptor < 0:
            self._open()
        with suppress(FileNotFoundError):
            return not os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        return True

    def _due(self) -> bool:
        size = os.fstat(self._descriptor).st_size
        age = self._clock() - self._began
        if not size or age < 0:  # the clock was set back: count from here
            self._began = self._clock()
            return False
        return size >= self._limits.file_bytes or age >= self._limits.file_seconds

    def _put_aside(self) -> None:
        aside = self._aside()
        number = int(_number_of(self._path, aside[-1])) + 1 if aside else 1
        self._path.rename(self._path.with_name(f"{self._path.stem}-{number:06d}{self._path.suffix}"))
        os.close(self._descriptor)
        self._open()
        self._began = self._clock()
        self._retain()

    def _aside(self) -> list[Path]:
        """Oldest first."""
        return _put_aside_of(self._path)

    def _retain(self) -> None:
        """Remove the oldest, so that all together stay within the bound when the one that grows is full."""
        kept = self._limits.file_bytes
        for path in reversed(self._aside()):
            kept += path.stat().st_size
            if kept > self._limits.total_bytes:
                path.unlink()


def latest_files(current: Path, most_bytes: int, stack: ExitStack) -> list[BinaryIO]:
    """The files of the log that grows in `current` that hold its last `most_bytes`, newest first, open until `stack` is
    closed. Of another process's log one may be missing that was put aside just now."""
    found: list[BinaryIO] = []
    for path in (current, *reversed(_put_aside_of(current))):
        if most_bytes <= 0:
            break
        with suppress(FileNotFoundError):
            file = stack.enter_context(path.open("rb"))
            most_bytes -= os.fstat(file.fileno()).st_size
            found.append(file)
    return found


def _put_aside_of(current: Path) -> list[Path]:
    """Oldest first; none if its folder is not there."""
    try:
        numbers = {path: _number_of(current, path) for path in current.parent.iterdir()}
    except FileNotFoundError:
        return []
    return sorted((path for path, number in numbers.items() if number), key=lambda path: int(numbers[path]))


def _number_of(current: Path, path: Path) -> str:
    """Its number in digits, empty for another file."""
    stem, _, number = path.stem.rpartition("-")
    ours = stem == current.stem and path.suffix == current.suffix
    return number if ours and number.isascii() and number.isdigit() else ""
