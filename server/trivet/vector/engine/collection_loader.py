"""Opens collections: one that cannot be opened is set aside, so that it keeps nobody from serving the others."""

from __future__ import annotations

import json
import logging
import re
import shutil
import time
from pathlib import Path

from trivet.vector.engine.collection import Collection

_log = logging.getLogger(__name__)

_MARKER = "opening.json"
_MOST_MARKED = 4096  # bytes
_SET_ASIDE = "set-aside"
_ATTEMPTS = 2  # openings that the whole process did not survive: the first may have been killed for another reason
KEPT = 3  # collections set aside: a disk that fails for good must not fill up with them
# Of the machine, not of the files (errno(3)): ENOMEM, ENFILE, EMFILE, ENOSPC, EROFS, EDQUOT.
_MACHINE = re.compile(r"os error (12|23|24|28|30|122)\b")


def is_fault(error: BaseException) -> bool:
    """Whether the engine failed; a panic of its Rust code is no `Exception`."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def is_machine(error: BaseException) -> bool:
    """Whether it is the machine that is at fault (a full disk, for instance) and not the files."""
    return bool(_MACHINE.search(str(error)))


class CollectionLoader:
    """Opens the collections of one vector process's folder.

    What is set aside is moved, whole, to `set-aside/<name>.<UTC time>` in that folder; the newest `KEPT` stay. A marker
    names the collection that is being opened: one whose opening ended the process twice is set aside, too.
    """

    def __init__(self, folder: Path, *, sets_aside: bool = True) -> None:
        """`folder` is the process's. Without `sets_aside` nothing is moved, for those who only want to look."""
        self._marker = folder / _MARKER
        self._aside = folder / _SET_ASIDE
        self._sets_aside = sets_aside
        self._interrupted = _read(self._marker)
        self.problems: dict[str, str] = {}  # why a collection is not open

    def open(self, path: Path) -> Collection | None:
        """The collection in this folder; None if it cannot be opened: then `problems` says why.

        Raises OSError, or what the engine raised, if it is the machine that is at fault and not the files.
        """
        name = path.name
        attempts = self._interrupted.get(name, 0)
        if attempts >= _ATTEMPTS:
            self._give_up(path, f"the process ended {attempts} times while it opened it")
            self._finish()
            return None
        self._begin(name, attempts + 1)
        try:
            collection = Collection(path)
        except BaseException as error:
            if not is_fault(error) or is_machine(error):
                self._finish()  # the next attempt is the first one
                raise
            self._give_up(path, f"{type(error).__name__}: {error}")
            collection = None
        self._finish()
        return collection

    def set_aside(self, path: Path, reason: str) -> None:
        """Move a collection that nobody has open out of the way."""
        self._aside.mkdir(exist_ok=True)
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))
        target = self._aside / f"{path.name}.{moment}.{nanoseconds:09}"
        path.rename(target)
        _log.error("collection %s is set aside, its files are kept in %s: %s", path.name, target, reason)
        kept = sorted(self._aside.iterdir(), key=lambda one: one.name.rsplit(".", 2)[1:])
        for old in kept[:-KEPT]:
            _log.warning("%s is removed: %d newer ones are kept", old, KEPT)
            shutil.rmtree(old, ignore_errors=True)

    def _give_up(self, path: Path, reason: str) -> None:
        self.problems[path.name] = reason
        if self._sets_aside:
            self.set_aside(path, reason)

    def _begin(self, name: str, attempt: int) -> None:
        unfinished = self._marker.with_suffix(".tmp")
        try:
            unfinished.write_text(json.dumps({"name": name, "attempt": attempt}))
            unfinished.replace(self._marker)
        except OSError as error:  # a full disk: opening may still succeed
            _log.warning("%s cannot be written: %s", self._marker, error.strerror)

    def _finish(self) -> None:
        try:
            self._marker.unlink(missing_ok=True)
        except OSError as error:  # a folder in its place, for instance: it names nothing, so it harms nothing
            _log.warning("%s cannot be removed: %s", self._marker, error.strerror)


def _read(marker: Path) -> dict[str, int]:
    """Name and number of attempts of the opening that ended its process; empty if there was none."""
    try:
        found = json.loads(marker.read_bytes()[:_MOST_MARKED])
        return {str(found["name"]): int(found["attempt"])}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
