"""One owner per data folder."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from trivet.errors import DataFolderInUse

_FILE = "lock"
_PID_PATIENCE = 0.5


class FolderLock:
    """An advisory lock (flock(2)) on a folder, held until `release` or the end of the process, however it ends.

    The file names the owner's pid for people and for the error; the lock itself is the kernel's, so that a crash leaves
    nothing to clean up.
    """

    def __init__(self, folder: Path) -> None:
        """Take it; raises DataFolderInUse with the owner's pid if another process has it."""
        folder.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = self._owner()
            os.close(self._fd)
            raise DataFolderInUse(str(folder), pid) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    @staticmethod
    def used(folder: Path) -> bool:
        """Whether a process has, or has had, that folder for its own."""
        return (folder / _FILE).is_file()

    def release(self) -> None:
        """Give it back."""
        os.close(self._fd)

    def _owner(self) -> int:
        """The pid in the file; waits a moment for an owner that has just taken the lock to write it."""
        until = time.monotonic() + _PID_PATIENCE
        while True:
            text = os.pread(self._fd, 32, 0).strip()
            if text.isdigit():
                return int(text)
            if time.monotonic() > until:
                return 0
            time.sleep(0.01)
