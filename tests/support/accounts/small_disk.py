"""A file system that is soon full."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_MNT_DETACH = 2  # umount2(2)


@contextmanager
def small_disk(folder: Path, kibibytes: int = 64) -> Iterator[Path]:
    """One of that size, mounted at the new `folder`; skips the test where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder.mkdir()
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, f"size={kibibytes}k".encode()):
        pytest.skip(f"may not mount: {os.strerror(ctypes.get_errno())}")
    try:
        yield folder
    finally:
        assert libc.umount2(str(folder).encode(), _MNT_DETACH) == 0
