"""Since when an index's live snapshot is live, told by its collection: gateways that share it see each other's swaps.

A collection has a number: twice the catalogue's change that made its snapshot live, and one more once that has ended.
It only grows. So a search that finds its own snapshot's number afterwards has missed nothing, without asking the store;
where it finds another one, or none, the catalogue decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from trivet.errors import FailedPrecondition, RetrievalUnavailable
from trivet.retrieval.snapshot.snapshot import Snapshot
from trivet.stores.coordination import Coordination
from trivet.stores.records import DocumentKey
from trivet.stores.snapshot_catalogue import SnapshotCatalogue, SnapshotRecord, SnapshotState
from trivet.stores.write_terms import WriteTerms

OpenSnapshot = Callable[[SnapshotRecord], Awaitable[Snapshot]]


class Tenure:
    """Of one index. With one gateway there is nothing to tell."""

    def __init__(
        self,
        index: str,
        retain: int,
        catalogue: SnapshotCatalogue,
        coordination: Coordination,
        open_: OpenSnapshot,
    ) -> None:
        """`open_` raises FailedPrecondition for a snapshot whose embedding model is gone."""
        self.index = index
        self.coordination = coordination
        self._retain = retain
        self._catalogue = catalogue
        self._open = open_

    @property
    def shared(self) -> bool:
        """Other gateways may swap the index's snapshots."""
        return self.coordination.shared

    async def opened_instead_of(self, snapshot: Snapshot) -> Snapshot | None:
        """The live snapshot, opened, if it is not this one, or is live anew; raises RetrievalUnavailable."""
        record = await self._live()
        if record is None or (record.name, record.changes) == (snapshot.name, snapshot.changes):
            return None
        try:
            return await self._open(record)
        except FailedPrecondition as error:
            raise RetrievalUnavailable(f"another gateway made snapshot {record.name} live: {error}") from error

    async def says_live(self, snapshot: Snapshot) -> bool:
        """The collection says that it is this snapshot's, and live. Raises RetrievalUnavailable."""
        if not self.shared:
            return True
        return await snapshot.store.tenure(snapshot.collection) == _open_number(snapshot.changes)

    async def end(self, snapshot: Snapshot) -> None:
        """Before a swap: from now on, whoever has searched it asks the catalogue."""
        if self.shared:
            await snapshot.store.write_tenure(snapshot.collection, _open_number(snapshot.changes) + 1)

    async def keep(self, snapshot: Snapshot) -> None:
        """Let the live collection say that it is, if it does not: after a swap, its own first start, or a swap that a
        crash cut short. Nothing while another gateway is at work on the index."""
        if not self.shared or await self.says_live(snapshot):
            return
        try:
            async with self.coordination.work(self.index, "telling which snapshot is live"):
                record = await self._live()
                if record is None or record.name != snapshot.name:
                    return
                told = await snapshot.store.tenure(snapshot.collection)
                if told is not None and told > _open_number(
                    record.changes
                ):  # it was ended, and then nothing came of it
                    record = await self._catalogue.swap(
                        self.index, record.name, self._retain, before=self.coordination.swapping(self.index)
                    )
                await snapshot.store.write_tenure(snapshot.collection, _open_number(record.changes))
        except FailedPrecondition:
            return

    def terms(self, snapshot: Snapshot, newest: int) -> WriteTerms:
        """Of a write that was prepared for this snapshot, over the document's entry `newest`."""
        return self.coordination.terms(snapshot.name, snapshot.changes, newest)

    def claimed(self, snapshot: Snapshot, key: DocumentKey) -> AbstractAsyncContextManager[bool]:
        """See `Coordination.claimed`."""
        return self.coordination.claimed(self.index, key, snapshot.name, snapshot.changes)

    async def _live(self) -> SnapshotRecord | None:
        records = await self._catalogue.of(self.index)
        return next((record for record in records if record.state is SnapshotState.LIVE), None)


def _open_number(changes: int) -> int:
    return 2 * changes
