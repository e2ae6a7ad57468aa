"""A folder that appears in one step: made beside its place, by one process at a time, then renamed."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from trivet.adapters.staging.disk import remove, sync
from trivet.errors import FailedPrecondition


class ExportFolder:
    """Work for `<parent>/<name>` in `<parent>/.<name>.merging`; what a killed process left there is removed.

    The lock is the hidden folder's own flock(2): the kernel gives it up with the process.
    """

    def __init__(self, target: Path, *, mark: str, replace: bool = False) -> None:
        """With `replace`, a folder that is there is replaced, but only if it holds the file `mark`."""
        self.target = target.resolve()
        self._work = self.target.parent / f".{self.target.name}.merging"
        self._replaced = self.target.parent / f".{self.target.name}.replaced"
        self._mark = mark
        self._replace = replace
        self._lock = -1

    @property
    def finished(self) -> Path:
        """What becomes the target."""
        return self._work / "finished"

    @property
    def scratch(self) -> Path:
        """For what is needed on the way only."""
        return self._work / "scratch"

    def __enter__(self) -> ExportFolder:
        """FailedPrecondition if the target is there and not to be replaced, or another process works on it."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self._take()
        try:
            if self._replaced.exists() and not self.target.exists():
                self._replaced.rename(self.target)  # killed between the two renames of a replacement
            self._refuse_existing()
            for left in (self._replaced, *self._work.iterdir()):
                remove(left)
            self.finished.mkdir()
            self.scratch.mkdir()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def publish(self) -> None:
        """Make `finished` the target; a power cut leaves the old one or the new one."""
        for path in (*self.finished.rglob("*"), self.finished):
            sync(path)
        self._refuse_existing()
        if self.target.exists():
            self.target.rename(self._replaced)
        try:
            self.finished.rename(self.target)
        except OSError:
            if self._replaced.exists():
                self._replaced.rename(self.target)
            raise
        sync(self.target.parent)
        remove(self._replaced)

    def _refuse_existing(self) -> None:
        if not os.path.lexists(self.target):
            return
        if not self._replace:
            raise FailedPrecondition(f"{self.target} exists: name another folder, or say --replace")
        if not (self.target / self._mark).is_file():
            raise FailedPrecondition(f"{self.target} exists and has no {self._mark}: it is not replaced")

    def _take(self) -> None:
        while True:
            self._work.mkdir(exist_ok=True)
            try:
                self._lock = os.open(self._work, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # its owner finished between our two steps
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._lock)
                raise FailedPrecondition(f"another process is writing {self.target}; wait for it, or stop it") from None
            if self._work.exists() and os.path.samestat(os.fstat(self._lock), self._work.stat()):
                return
            os.close(self._lock)

    def _leave(self) -> None:
        remove(self._work)
        os.close(self._lock)
