"""Examining the collections of a data folder that nobody serves."""

from __future__ import annotations

import json
from pathlib import Path

from trivet.app.recovery.findings import Diagnosis
from trivet.app.recovery.manifest import Report
from trivet.errors import CollectionUnreadable, RetrievalUnavailable
from trivet.retrieval.service import open_database
from trivet.stores.document_log import DocumentLog
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.records import PointKind
from trivet.stores.snapshot_catalogue import SnapshotCatalogue, SnapshotRecord, SnapshotState
from trivet.stores.vector_process import VectorProcess

_BY_ITSELF = "Nothing to do: the next start makes it again from the document log."


async def examine_collections(root: Path, found: Diagnosis, report: Report) -> None:
    """Open every collection, moving none, and compare those of snapshots with the log. The caller owns the folder."""
    if not (root / "vectors" / "collections").is_dir():
        return
    process = VectorProcess(root / "vectors", root / "logs" / "doctor.log", look=True)
    try:
        await process.start()
    except RetrievalUnavailable as error:
        _tell_unopened(root, str(error), found)
        return
    store = QdrantStore.embedded(lambda: process.endpoint)
    try:
        for name, why in (await process.problems()).items():
            found.add(
                root / "vectors" / "collections" / name,
                f"it cannot be opened: {why}",
                "It is set aside at the next start.",
                _BY_ITSELF,
            )
        await _compare_all(root, store, found, report)
    finally:
        await store.close()
        await process.stop()


def _tell_unopened(root: Path, problem: str, found: Diagnosis) -> None:
    marker = root / "vectors" / "opening.json"
    try:
        name = json.loads(marker.read_text())["name"]
        marker.unlink()  # this look is no attempt of a server's
    except (OSError, ValueError, KeyError, TypeError):
        found.add(root / "vectors", f"the vector process does not start: {problem}", "No index opens.", "See the log.")
        return
    found.add(
        root / "vectors" / "collections" / name,
        f"opening it ends the vector process: {problem}",
        "It is set aside by the next start, at its third attempt.",
        _BY_ITSELF,
    )


async def _compare_all(root: Path, store: QdrantStore, found: Diagnosis, report: Report) -> None:
    database = open_database(root / "documents.sqlite")
    try:
        log, catalogue = DocumentLog(database), SnapshotCatalogue(database)
        there = set(await store.collections())
        for index in await catalogue.indexes():
            for record in await catalogue.of(index):
                where = root / "vectors" / "collections" / record.collection
                if record.state not in (SnapshotState.LIVE, SnapshotState.RETAINED):
                    continue
                if record.collection not in there:
                    if not any(str(where) == finding.where for finding in found.findings):
                        found.add(where, "it is missing", "Searches wait for it at the next start.", _BY_ITSELF)
                    continue
                try:
                    problems = await _compare(log, store, record, report)
                except CollectionUnreadable as error:
                    problems = [f"it cannot be read: {error}"]
                if problems:
                    means = f"Searches of index {index} lack documents until it is mended."
                    found.add(where, "; ".join(problems), means, _BY_ITSELF)
    finally:
        database.close()


async def _compare(log: DocumentLog, store: QdrantStore, record: SnapshotRecord, report: Report) -> list[str]:
    """What the collection lacks of the log up to where its snapshot has followed it."""
    position, documents, lost, passages, done = 0, 0, 0, 0, 0
    total = await log.behind(record.index, 0)
    while entries := await log.after(record.index, position, 256):
        heads = await store.heads_of(record.collection, [entry.key for entry in entries])
        for entry in entries:
            head = heads.get(entry.key)
            documents += head is not None
            passages += head.passages if head is not None else 0
            lost += entry.seq <= record.applied and (head is None or head.of != entry.of)
        position = entries[-1].seq
        done += len(entries)
        report(f"collection {record.collection}", done, max(done, total))
    problems = [f"{lost} documents of the log are missing or older in it"] if lost else []
    heads_there = [await store.count(record.collection, kind) for kind in (PointKind.HEAD, PointKind.GONE)]
    if sum(heads_there) > documents:
        problems.append(f"it has {sum(heads_there) - documents} documents that are not in the log")
    published = await store.count(record.collection, PointKind.PASSAGE)
    if published != passages:
        problems.append(f"it has {published} passages, expected {passages}")
    return problems
