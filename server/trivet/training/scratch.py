"""Where a training lives until its adapter is whole: a hidden folder beside it, with a lock and a checkpoint."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from trivet.errors import FailedPrecondition

CHECKPOINT = "checkpoint.pt"
Identity = Mapping[str, Any]


class Scratch:
    """`<out>/<name>/.<version>.training` for `<out>/<name>/<version>`; one process has it at a time (flock(2)).

    The kernel gives the lock up with the process, so that a killed training leaves its checkpoint and nothing to clean.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.folder = target.parent / f".{target.name}.training"
        self.finished = self.folder / "finished"
        self._lock = -1

    def __enter__(self) -> Scratch:
        """FailedPrecondition if another process trains this version, or if it is there already."""
        path = self.folder / "lock"
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._take()
            if _same_file(self._lock, path):
                break
            os.close(self._lock)  # its owner finished and removed it between our open and our lock
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        try:
            refuse_existing(self.target)
        except FailedPrecondition:
            shutil.rmtree(self.folder)  # whoever finished the version may have been killed before it could
            os.close(self._lock)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not (self.folder / CHECKPOINT).exists():
            shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)

    def save(self, identity: Identity, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint: whoever reads it, now or after a crash, finds the old one or the new one."""
        path = self.folder / CHECKPOINT
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as file:
            torch.save({"identity": json.dumps(identity), "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        _sync(self.folder)

    def load(self, identity: Identity) -> Mapping[str, Any] | None:
        """The state of the checkpoint; None without one.

        FailedPrecondition if it cannot be read, or if it is of another recipe, base, data or library: the error names
        what differs.
        """
        path = self.folder / CHECKPOINT
        if not path.exists():
            return None
        try:
            found = torch.load(path, weights_only=True)
            theirs, state = json.loads(found["identity"]), found["state"]
        except Exception as error:  # whatever torch, zip or pickle say of a spoiled file
            raise FailedPrecondition(f"{path} cannot be read ({error}); --restart begins again") from error
        ours = json.loads(json.dumps(identity))
        differing = [
            f"{field} is {ours.get(field)!r} now and was {theirs.get(field)!r}"
            for field in sorted({*ours, *theirs})
            if ours.get(field) != theirs.get(field)
        ]
        if differing:
            raise FailedPrecondition(
                f"{path} is of another training: {'; '.join(differing)}. Put that back, or begin again with --restart"
            )
        known: Mapping[str, Any] = state
        return known

    def forget(self) -> None:
        """Remove the checkpoint."""
        (self.folder / CHECKPOINT).unlink(missing_ok=True)

    def prepared(self) -> Path:
        """`finished`, not there yet: what a killed process left of it is removed."""
        shutil.rmtree(self.finished, ignore_errors=True)
        return self.finished

    def publish(self) -> None:
        """Make `finished` the target in one step, and remove the scratch folder."""
        for path in self.finished.iterdir():
            _sync(path)
        _sync(self.finished)
        try:
            self.finished.rename(self.target)
        except OSError as error:
            refuse_existing(self.target)
            raise FailedPrecondition(f"{self.target} cannot be written: {error.strerror}") from error
        _sync(self.target.parent)
        shutil.rmtree(self.folder)

    def _take(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._lock, 32, 0).decode(errors="replace").strip()
            os.close(self._lock)
            raise FailedPrecondition(
                f"{self.target} is being trained by process {owner or 'unknown'}; wait for it, or stop it"
            ) from None


def refuse_existing(target: Path) -> None:
    """FailedPrecondition if the version is there."""
    if os.path.lexists(target):
        raise FailedPrecondition(f"{target} exists: versions are immutable. Name another version, or remove this one")


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
