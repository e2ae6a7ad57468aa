"""Folders on the disk: what a power cut may not undo, and the removal of read-only ones."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk (fsync(2))."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder, without those in folders of it; 0 if it is not there."""
    try:
        return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    except FileNotFoundError:
        return 0


def remove(path: Path) -> None:
    """A file, or a folder with what is in it, read-only folders too; nothing if it is not there."""
    if path.is_dir() and not path.is_symlink():
        for folder in (path, *(found for found in path.rglob("*") if found.is_dir() and not found.is_symlink())):
            folder.chmod(0o700)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
