"""What gateways that write to one document log agree on: nothing, as long as there is one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

from trivet.stores.records import DocumentKey
from trivet.stores.snapshot_catalogue import Guard, unguarded
from trivet.stores.write_terms import NO_TERMS, WriteTerms

PATIENCE = 15.0
"""Seconds that a person's change waits for another gateway at work: longer than a dead one's claims live."""


class Coordination(Protocol):
    """Between the gateways of one log. Names of snapshots go with the change that made them live: one that was live
    before and is so again is told from what it was."""

    @property
    def shared(self) -> bool:
        """Others may write, too."""
        ...

    def terms(self, live: str, changes: int, newest: int) -> WriteTerms:
        """Of a write that was prepared for this live snapshot, over the entry with the seq `newest`."""
        ...

    def claimed(
        self, index: str, key: DocumentKey, live: str, changes: int
    ) -> contextlib.AbstractAsyncContextManager[bool]:
        """Write the document to the live snapshot, alone; False if nothing of it is open. Left without an error, what
        the log has of it is applied. Raises WriteConflict, RetrievalUnavailable."""
        ...

    async def applied(self, index: str, key: DocumentKey) -> None:
        """What this gateway logged of the document is in the live snapshot."""
        ...

    async def abandoned(self, index: str) -> list[DocumentKey]:
        """Documents with an entry that is not applied, and nobody else to do it."""
        ...

    def work(self, index: str, what: str, *, patience: float = 0.0) -> contextlib.AbstractAsyncContextManager[None]:
        """Be the one gateway that makes, keeps, removes or swaps snapshots of the index, for `what`.

        Raises FailedPrecondition if another one still is after `patience` seconds, RetrievalUnavailable.
        """
        ...

    async def close_writes(self, index: str) -> None:
        """Nothing more is logged until the swap, or `reopen_writes`, or until this gateway's right has expired."""
        ...

    async def reopen_writes(self, index: str) -> None:
        """There was no swap."""
        ...

    def swapping(self, index: str) -> Guard:
        """To be run in the transaction of a swap: it is still this gateway's to make, and ends `close_writes`."""
        ...

    def entering(self, index: str) -> Guard:
        """To be run in the transaction that makes an index's first snapshot: one gateway does at a time."""
        ...


class Alone:
    """Implements `Coordination` for the one gateway of a log."""

    shared = False

    def terms(self, live: str, changes: int, newest: int) -> WriteTerms:
        return NO_TERMS

    @contextlib.asynccontextmanager
    async def claimed(self, index: str, key: DocumentKey, live: str, changes: int) -> AsyncIterator[bool]:
        yield True

    async def applied(self, index: str, key: DocumentKey) -> None:
        pass

    async def abandoned(self, index: str) -> list[DocumentKey]:
        return []

    @contextlib.asynccontextmanager
    async def work(self, index: str, what: str, *, patience: float = 0.0) -> AsyncIterator[None]:
        yield

    async def close_writes(self, index: str) -> None:
        pass

    async def reopen_writes(self, index: str) -> None:
        pass

    def swapping(self, index: str) -> Guard:
        return unguarded

    def entering(self, index: str) -> Guard:
        return unguarded
