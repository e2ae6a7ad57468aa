"""Finding out what a crash, or a folder put back from a backup, has left in a collection."""

from __future__ import annotations

import logging

from trivet.retrieval.snapshot.replay import Replay
from trivet.retrieval.snapshot.snapshot import Snapshot
from trivet.stores.document_log import DocumentLog
from trivet.stores.records import Kind

_log = logging.getLogger(__name__)


class Sweeper:
    """Compares collections with the log. Nobody writes to them meanwhile."""

    def __init__(self, index: str, log: DocumentLog, replay: Replay) -> None:
        self._index = index
        self._log = log
        self._replay = replay

    async def refuse_foreign(self, snapshot: Snapshot) -> None:
        """Empty the collection if it knows what the log does not: then one of the two was put back without the other.

        It is made again from the log.
        """
        newest = {entry.key: entry for entry in await self._log.all_newest(self._index)}
        for key, head in (await snapshot.store.heads(snapshot.collection)).items():
            entry = newest.get(key)
            if (
                entry is None
                or head.of.revision > entry.revision
                or (head.of.revision == entry.revision and head.of != entry.of)
            ):
                _log.warning("snapshot %s is not of this document log: it is made again", snapshot.collection)
                await snapshot.drop()
                await snapshot.ensure()
                return

    async def sweep(self, snapshot: Snapshot) -> None:
        """Remove passages that no head counts, and write those again that are missing.

        Looks at every passage only if their number is not what the heads say.
        """
        heads = await snapshot.store.heads(snapshot.collection)
        staged = await snapshot.store.count(snapshot.collection, Kind.STAGED)
        published = await snapshot.store.count(snapshot.collection, Kind.PASSAGE)
        if staged == 0 and published == sum(head.passages for head in heads.values()):
            return
        counts = await snapshot.store.passage_counts(snapshot.collection)
        stray = {of.key for of in counts if (head := heads.get(of.key)) is None or head.deleted or head.of != of}
        short = {head.of.key for head in heads.values() if counts[head.of] != head.passages}
        for key in stray:
            head = heads.get(key)
            await snapshot.store.clean(snapshot.collection, key, None if head is None or head.deleted else head.of)
        for key in short:
            await self._replay.bring(snapshot, key)
        _log.info("snapshot %s: cleaned %d documents, repaired %d", snapshot.collection, len(stray), len(short))
