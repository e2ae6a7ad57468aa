"""The request log's files, opened so that one that is rotated meanwhile is read once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

CURRENT = "receipts.jsonl"
ROTATED = "receipts-*.jsonl"
OF_PROCESSES = "processes/[0-9]*"  # of a server of several
_CLOCK_MARGIN = 86_400.0  # seconds: a clock that was set back by less loses no receipt


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file. `size`: bytes when it was opened; what is written later is not part of the report."""

    path: Path
    stream: BinaryIO
    size: int


@contextmanager
def open_log(folder: Path, since: datetime | None = None) -> Iterator[list[LogFile]]:
    """The files of a data folder and of the server's processes in it, the oldest first, without those that were last
    written a day before `since`.

    Raises FileNotFoundError if there is none.
    """
    with ExitStack() as stack:
        opened = _files(folder, stack)
        opened += [file for process in sorted(folder.glob(OF_PROCESSES)) for file in _files(process, stack)]
        if not opened:
            raise FileNotFoundError(2, "no request log: no request has been served", str(folder / CURRENT))
        files: dict[tuple[int, int], LogFile] = {}
        for file in opened:
            status = os.fstat(file.stream.fileno())
            if since is None or status.st_mtime >= since.timestamp() - _CLOCK_MARGIN:
                files.setdefault((status.st_dev, status.st_ino), file)
        yield sorted(files.values(), key=lambda file: (file.path.name == CURRENT, file.path.name))


def _files(folder: Path, stack: ExitStack) -> list[LogFile]:
    # The current one first: rotated after this, it is met again under its new name, and is the same file.
    opened = _open(folder / CURRENT, stack)
    return opened + [file for path in sorted(folder.glob(ROTATED)) for file in _open(path, stack)]


def _open(path: Path, stack: ExitStack) -> list[LogFile]:
    """None if it is not there: the log's retention may have removed it just now."""
    try:
        stream = stack.enter_context(path.open("rb"))
    except FileNotFoundError:
        return []
    return [LogFile(path, stream, os.fstat(stream.fileno()).st_size)]
