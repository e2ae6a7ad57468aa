"""Copying files so that what was copied is known, and on the disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from trivet.adapters.staging.disk import sync
from trivet.app.recovery.manifest import BackedUpFile

_CHUNK = 1 << 20


def copy_file(
    source: Path, target: Path, root: Path, done: Callable[[int], None], most: int | None = None
) -> BackedUpFile:
    """Copy the first `most` bytes, or all, to a new file below `root` and sync it; `done` is told of each piece."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest, copied = hashlib.sha256(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with source.open("rb") as read, os.fdopen(descriptor, "wb") as write:
        while chunk := read.read(_CHUNK if most is None else min(_CHUNK, most - copied)):
            write.write(chunk)
            digest.update(chunk)
            copied += len(chunk)
            done(len(chunk))
        write.flush()
        os.fsync(write.fileno())
    return BackedUpFile(path=target.relative_to(root).as_posix(), bytes=copied, sha256=digest.hexdigest())


def digest_of(path: Path, done: Callable[[int], None]) -> str:
    """SHA-256 of a file, 64 hex digits; `done` is told of each piece."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done(len(chunk))
    return digest.hexdigest()


def sync_folders(root: Path) -> None:
    """The same for a folder and all below it."""
    for folder, _, _ in os.walk(root):
        sync(Path(folder))
