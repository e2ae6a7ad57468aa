"""What may happen to a file: the same kinds of damage for every file of a data folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path


def missing(path: Path) -> None:
    """It is gone."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def empty(path: Path) -> None:
    """Nothing is in it."""
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    """The second half is gone."""
    os.truncate(path, path.stat().st_size // 2)


def flipped(path: Path) -> None:
    """A byte in the middle of what is not zero is another one."""
    content = path.read_bytes().rstrip(b"\0")
    used = [at for at, byte in enumerate(content) if byte]
    if used:
        at = used[len(used) // 2]
        with path.open("r+b") as file:
            file.seek(at)
            file.write(bytes([content[at] ^ 0xFF]))


def folder(path: Path) -> None:
    """A folder is in its place."""
    path.unlink()
    path.mkdir()


DAMAGE: Mapping[str, Callable[[Path], None]] = {
    "missing": missing,
    "empty": empty,
    "truncated": truncated,
    "flipped": flipped,
    "folder": folder,
}
