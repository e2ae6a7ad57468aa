"""The data folder: all state lives in it, and one process owns it."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from trivet.errors import DataFolderInUse, FailedPrecondition

PRIVATE_UMASK = 0o077
ROOT = 0
_log = logging.getLogger(__name__)
STATE_ELSEWHERE = "state.url"
RESTORING = "restoring"  # a folder in it: a restore has not been finished


class DataFolder:
    """An owned data folder. The kernel gives the lock up with the process, however it ends."""

    def __init__(self, root: Path, descriptor: int) -> None:
        self.root = root
        self._descriptor = descriptor

    @classmethod
    def open(cls, root: Path, *, restoring: bool = False) -> DataFolder:
        """Create it if need be, close it to other users of the machine, and take its lock.

        From here on this process, and those that it starts, write files that its own user alone can read (umask(2)):
        the folder's own mode does not protect what was opened while it was looser. Raises DataFolderInUse with the
        process that has it, FailedPrecondition if it belongs to another user, or a restore of it was not finished,
        unless this is for `restoring`.
        """
        os.umask(PRIVATE_UMASK)
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _close_to_others(root)
        if (root / RESTORING).exists() and not restoring:
            raise FailedPrecondition(
                f"the data folder {root} is not whole: a restore was not finished. Run the same `trivet restore` again"
            )
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
    def lock(self) -> int:
        """The descriptor that holds the lock. A forked process closes it, or holds the lock too."""
        return self._descriptor

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
    def foreign(self) -> Path:
        """Collections that are not of this document log; on the same file system as `vectors`. Nothing removes them."""
        return self.root / "foreign"

    @property
    def sources(self) -> Path:
        """Corpora that lie elsewhere, as they were when they were synced last, by index. Can be fetched again."""
        return self.root / "sources"

    @property
    def documents(self) -> Path:
        """The document log of all indexes, and their snapshots' catalogue."""
        return self.root / "documents.sqlite"

    @property
    def gateway_name(self) -> Path:
        """What tells this gateway from others that share a state store."""
        return self.root / "gateway"

    @property
    def overrides(self) -> Path:
        """Rollbacks by hand that the state store has not been told of."""
        return self.root / "rolled_back.json"

    @property
    def adapters(self) -> Path:
        """Immutable copies of the adapters that the engine was given."""
        return self.root / "adapters"

    @property
    def adapter_pins(self) -> Path:
        """The digests of the adapters that requests chose."""
        return self.root / "adapter_pins.sqlite"

    @property
    def state(self) -> Path:
        """The state store, unless it is PostgreSQL."""
        return self.root / "state.sqlite"

    @property
    def state_elsewhere(self) -> Path:
        """Says, for those who see the folder alone, that the state store is a database server, and which one."""
        return self.root / STATE_ELSEWHERE

    @property
    def older_desired_adapters(self) -> Path:
        """What operators asked to be loaded, where versions before the state store kept it."""
        return self.root / "adapters.sqlite"

    @property
    def drift(self) -> Path:
        """What routes' questions were like, for those that are watched."""
        return self.root / "drift"

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


def _close_to_others(root: Path) -> None:
    """An older or a hand-made folder may be open to others: what is in it is shut away with it.

    The mount of a volume may be root's: it is left as it is, and what is written into it is closed by the umask.
    """
    status = root.stat()
    if status.st_uid not in (os.geteuid(), ROOT):
        raise FailedPrecondition(
            f"the data folder {root} belongs to user {status.st_uid}, expected {os.geteuid()}, who runs this"
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode & PRIVATE_UMASK and status.st_uid == os.geteuid():
        root.chmod(mode & ~PRIVATE_UMASK)
        _log.warning("the data folder %s was open to other users (mode %04o): closed to them now", root, mode)


def elsewhere(root: Path) -> str:
    """The database server that is the state store of a data folder, in words; empty if it is in the folder."""
    try:
        return (root / STATE_ELSEWHERE).read_text(errors="replace")[:1000].strip() or "a database server"
    except FileNotFoundError:
        return ""


def refuse_without(file: Path, depending: Iterable[Path]) -> None:
    """Raise FailedPrecondition if `file` is missing or empty while a folder of what depends on it is not.

    A start would begin it anew, and then remove what it does not know: perhaps the last copy.
    """
    if file.exists() and (file.is_dir() or file.stat().st_size):
        return
    for folder in depending:
        if folder.is_dir() and any(not entry.name.startswith((".", "~")) for entry in folder.iterdir()):
            raise FailedPrecondition(
                f"{file} is {'empty' if file.exists() else 'missing'}, but {folder} is not empty: the file was lost. "
                "Put the data folder back from a backup (`trivet restore`); or, to begin anew without what the file "
                f"held, move {folder} away, for instance to {folder.with_name(folder.name + '.old')}"
            )
