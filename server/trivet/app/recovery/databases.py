"""Examining the databases of a data folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from trivet.app.recovery.findings import Diagnosis
from trivet.app.recovery.manifest import Report
from trivet.errors import DocumentDamaged, FailedPrecondition, RetrievalUnavailable
from trivet.retrieval.documents.documents import digest_of
from trivet.retrieval.service import open_database
from trivet.stores.data_folder import refuse_without
from trivet.stores.document_log import DocumentLog
from trivet.stores.log_entry import damaged
from trivet.stores.sqlite import check_database

_RESTORE = "Restore a backup: `trivet restore SRC --data-dir NEW_FOLDER`."


def examine_lost(file: Path, depending: Sequence[Path], found: Diagnosis) -> None:
    """A database that is missing or empty beside what depends on it."""
    try:
        refuse_without(file, depending)
    except FailedPrecondition as error:
        found.add(file, "it was lost", "A server refuses to start, so that nothing is removed.", str(error))


def examine_database(path: Path, version: int | None, found: Diagnosis) -> bool:
    """Its structure, and its schema version unless it is a cache; True if it is there, not empty, and can be read.

    One that this user may not read is another finding's: nothing is known of what is in it.
    """
    if not path.exists() or not os.access(path, os.R_OK):
        return False
    schema, problem = check_database(path)
    if not problem and version is not None and schema > version:  # what is older is brought up when it is opened
        found.add(
            path,
            f"it has schema version {schema}, this version of Trivet reads {version}",
            "A server refuses to start.",
            "Use the version of Trivet that wrote it.",
        )
        return False
    if problem:
        cache = version is None
        found.add(
            path,
            f"SQLite cannot read it: {problem}",
            "It is a cache: what it had is embedded again." if cache else "What is in the damaged part is lost.",
            "Nothing to do: the server makes it anew." if cache else _RESTORE,
        )
    return not problem and schema != 0


async def examine_contents(path: Path, found: Diagnosis, report: Report) -> None:
    """Every document's content: it decompresses and has the digest that was acknowledged."""
    try:
        database = open_database(path)
    except FailedPrecondition as error:
        found.add(path, str(error), "A server refuses to start.", _RESTORE)
        return
    try:
        log = DocumentLog(database)
        for index in await log.indexes():
            await _examine_index(log, index, path, found, report)
    except RetrievalUnavailable as error:
        found.add(path, str(error), "What is in the damaged part is lost.", _RESTORE)
    finally:
        database.close()


async def _examine_index(log: DocumentLog, index: str, path: Path, found: Diagnosis, report: Report) -> None:
    done, total, position = 0, await log.behind(index, 0), 0
    while entries := await log.after(index, position):
        for entry in entries:
            try:
                content = await log.content(entry.seq)
                if content is not None and digest_of(entry.document(content)) != entry.digest:
                    raise DocumentDamaged(damaged(entry, "it has another digest than when it was acknowledged"))
            except DocumentDamaged as error:
                found.add(
                    path,
                    str(error),
                    "Searches find it while its passages are in the collection; a new snapshot cannot have it.",
                    f"`trivet index add {index} FILE --id {entry.document_id}`, or `trivet index rm`, or a backup.",
                )
        position = entries[-1].seq
        done += len(entries)
        report(f"contents of {index}", done, max(done, total))
