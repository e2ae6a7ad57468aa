"""`trivet doctor`: what is wrong with a data folder, what it means, and what repairs it. Nothing is changed."""

from __future__ import annotations

import errno
import os
import shutil
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trivet.adapters.pins import VERSION as PINS_VERSION
from trivet.adapters.preflight.preflight import FILES, digest
from trivet.app.recovery.collections import examine_collections
from trivet.app.recovery.databases import examine_contents, examine_database, examine_lost
from trivet.app.recovery.findings import Diagnosis
from trivet.app.recovery.manifest import Report
from trivet.errors import DataFolderInUse
from trivet.retrieval.service import DOCUMENTS_VERSION
from trivet.rollouts.control.overrides import Overrides
from trivet.stores.data_folder import RESTORING, DataFolder, elsewhere
from trivet.stores.state.database.migration import STATE_VERSION

LITTLE_SPACE = 1 << 30  # bytes
_LAST_BYTES = 256 << 10  # of a log file
_LAST_ERRORS = 3

_RESTORE = "Restore a backup: `trivet restore SRC --data-dir NEW_FOLDER`."


async def examine(root: Path, report: Report) -> Diagnosis:
    """Examine the data folder `root`. While a server owns it, its collections are not looked at.

    `report` is told how far the long checks are.
    """
    found = Diagnosis()
    if not _is_data_folder(root, found):
        return found
    with _owned(root, found):
        if _examine_files(root, found, report):
            await examine_contents(root / "documents.sqlite", found, report)
            if not found.server_pid:
                await examine_collections(root, found, report)
    return found


def _is_data_folder(root: Path, found: Diagnosis) -> bool:
    if not root.is_dir():
        found.add(root, "there is no such folder", "Nothing was ever served from it, or it is not mounted.", _RESTORE)
    elif (root / RESTORING).exists():
        found.add(
            root / RESTORING,
            "a restore was not finished",
            "A server refuses the folder.",
            "Run the same `trivet restore` again.",
        )
    return not found.findings


def _examine_files(root: Path, found: Diagnosis, report: Report) -> bool:
    """True if the document log can be read."""
    _examine_access(root, found)
    _examine_space(root, found)
    place = elsewhere(root)
    if place and (root / "documents.sqlite.moved").exists():
        found.notes.append(f"the document log was moved to {place}")
    else:
        depending = [root / "vectors" / "collections", root / "vectors" / "set-aside"]
        examine_lost(root / "documents.sqlite", depending, found)
    if place:
        found.notes.append(f"the state store is {place}: its health and its backup are its operator's")
    elif not (root / "adapters.sqlite").exists():  # of an older version: the next start moves it into the state store
        examine_lost(root / "state.sqlite", [root / "adapters"], found)
    readable = examine_database(root / "documents.sqlite", DOCUMENTS_VERSION, found)
    examine_database(root / "state.sqlite", STATE_VERSION, found)
    examine_database(root / "adapters.sqlite", 1, found)
    examine_database(root / "adapter_pins.sqlite", PINS_VERSION, found)
    examine_database(root / "cache" / "passages.sqlite", None, found)
    _examine_rollbacks(root / "rolled_back.json", found)
    _examine_adapters(root, found, report)
    _note_kept(root, found)
    _note_errors(root, found)
    return readable


@contextmanager
def _owned(root: Path, found: Diagnosis) -> Iterator[None]:
    try:
        folder = DataFolder.open(root)
    except DataFolderInUse as error:
        found.server_pid = error.pid or -1
        yield
    except OSError as error:
        found.add(
            root / "lock",
            f"the folder cannot be locked: {error.strerror}",
            "No server can start on it.",
            "Free space on the disk."
            if error.errno in {errno.ENOSPC, errno.EDQUOT}
            else "Give the folder to the user that runs the server; it must be writable.",
        )
        yield
    else:
        try:
            yield
        finally:
            folder.close()


def _examine_access(root: Path, found: Diagnosis) -> None:
    written = [root, *root.iterdir(), *root.glob("cache/*.sqlite")]
    read = [*root.glob("adapters/*@*#*"), *root.glob("adapters/*@*#*/*")]
    for path in sorted({*written, *read}):
        wanted = os.R_OK | (os.W_OK if path in written else 0) | (os.X_OK if path.is_dir() else 0)
        if not os.access(path, wanted):
            found.add(
                path,
                f"this user may not read {'and write it' if path in written else 'it'}",
                "A server of this user fails when it needs it.",
                "Run as the user that owns the folder, or give it to this one (`chown -R`).",
            )


def _examine_space(root: Path, found: Diagnosis) -> None:
    free = shutil.disk_usage(root).free
    if free < LITTLE_SPACE:
        found.add(
            root,
            f"{free >> 20} MiB of disk are free",
            "Writes fail with UNAVAILABLE once the disk is full; nothing that was acknowledged is lost.",
            "Free space, or move the data folder to a larger disk.",
        )


def _examine_rollbacks(path: Path, found: Diagnosis) -> None:
    try:
        Overrides(path)
    except ValueError as problem:
        found.add(
            path,
            str(problem),
            "A server refuses to start: routes that were rolled back by hand could get their candidates again.",
            "Move it away, start, and roll back again what should be (`trivet rollout rollback`).",
        )


def _examine_adapters(root: Path, found: Diagnosis, report: Report) -> None:
    copies = sorted((root / "adapters").glob("*@*#*"))
    for number, path in enumerate(copies, 1):
        try:
            _, config, tensors = (path / file for file in FILES)
            sound = digest(config, tensors)[:12] == path.name.rpartition("#")[2]
        except PermissionError:
            sound = True  # that is told; nothing is known of what is in it
        except OSError:
            sound = False
        if not sound:
            found.add(
                path,
                "the staged copy does not have the bytes that its name says",
                "It is not loaded; the next load stages it again from its source.",
                "Keep the source as it was: if its bytes have changed, give them a new version.",
            )
        report("adapters", number, len(copies))


def _note_kept(root: Path, found: Diagnosis) -> None:
    for folder, why in (("vectors/set-aside", "could not be read"), ("foreign", "were not of this document log")):
        kept = sorted(path.name for path in (root / folder).iterdir()) if (root / folder).is_dir() else []
        if kept:
            found.notes.append(f"{folder} keeps collections that {why}: {', '.join(kept)}; remove them when you like")


def _note_errors(root: Path, found: Diagnosis) -> None:
    for path in sorted((root / "logs").glob("*.log")):
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        last = deque((line for line in lines if " ERROR " in line or " CRITICAL " in line), maxlen=_LAST_ERRORS)
        found.notes += [f"{path.name}: {line[:300]}" for line in last]
