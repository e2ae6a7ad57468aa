"""The data folder: all state lives in it, and one process owns it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from trivet.errors import DataFolderInUse


class DataFolder:
    """An owned data folder. The kernel gives the lock up with the process, however it ends."""

    def __init__(self, root: Path, descriptor: int) -> None:
        self.root = root
        self._descriptor = descriptor

    @classmethod
    def open(cls, root: Path) -> DataFolder:
        """Create it if need be and take its lock; DataFolderInUse names the process that has it."""
        root.mkdir(parents=True, exist_ok=True)
        path = root / "lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise DataFolderInUse(str(root), int(owner) if owner.isdigit() else 0) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(root, descriptor)

    def close(self) -> None:
        """Give the lock up."""
        os.close(self._descriptor)

    @property
    def receipts(self) -> Path:
        """The request log."""
        return self.root / "receipts.jsonl"

    @property
    def vectors(self) -> Path:
        """The embedded vector engine's folder."""
        return self.root / "vectors"

    @property
    def building(self) -> Path:
        """Snapshots that are being made; on the same file system as `vectors`."""
        return self.root / "building"

    @property
    def documents(self) -> Path:
        """The document log of all indexes, and their snapshots' catalogue."""
        return self.root / "documents.sqlite"

    @property
    def adapters(self) -> Path:
        """Immutable copies of the adapters that the engine was given."""
        return self.root / "adapters"

    @property
    def adapter_wishes(self) -> Path:
        """What operators asked to be loaded."""
        return self.root / "adapters.sqlite"

    @property
    def cache(self) -> Path:
        """What can be made again: exported models, the vendors' caches."""
        return self.root / "cache"

    @property
    def logs(self) -> Path:
        """Log files of the engine and the vector engine."""
        path = self.root / "logs"
        path.mkdir(exist_ok=True)
        return path
