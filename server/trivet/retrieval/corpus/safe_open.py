"""Opening files of a folder that others write to: regular ones alone, and noticing what changes meanwhile."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from trivet.errors import DocumentRejected

LEADS_OUT = "is a link out of the corpus folder, expected `follow_links: true` in index.yaml"
_PIECE = 1 << 20


@contextmanager
def opened(path: Path, inside: Path | None = None) -> Iterator[BinaryIO]:
    """A regular file, to read; DocumentRejected, without the file's name, if it is none or cannot be read, if it does
    not lie in the folder that it has to be `inside`, or if what was read in between is not one state of it."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DocumentRejected("is not a regular file")
        # What has taken its place meanwhile must not make us wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as file:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise DocumentRejected("is not a regular file")
            # A link may have been put on its path since the folder was walked; what is open does not change any more.
            if inside is not None and not _place(descriptor, path).is_relative_to(inside.resolve()):
                raise DocumentRejected(LEADS_OUT)
            yield file
            after = os.fstat(descriptor)
    except OSError as error:
        raise DocumentRejected(f"cannot be read: {error.strerror}") from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise DocumentRejected("was changed while it was read")


def size_of(file: BinaryIO) -> int:
    """How long an opened file is now."""
    return os.fstat(file.fileno()).st_size


def read_at_most(file: BinaryIO, most: int) -> bytes | None:
    """The whole file; None if it is longer than `most` bytes."""
    content = bytearray()
    while piece := file.read(min(_PIECE, most + 1 - len(content))):
        content += piece
    return bytes(content) if len(content) <= most else None


def _place(descriptor: int, path: Path) -> Path:
    """Where an open file lies; where the system does not say it, where its path leads by now."""
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    except FileNotFoundError:
        return path.resolve()
