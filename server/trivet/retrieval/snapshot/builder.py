"""Where a new snapshot is made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from trivet.stores.qdrant.store import QdrantStore


class SnapshotBuilder(Protocol):
    """Lends a store to make a collection in."""

    @property
    def optimises(self) -> bool:
        """What it has made searches faster than what was written while serving."""
        ...

    def making(self, collection: str) -> AbstractAsyncContextManager[QdrantStore]:
        """A store to write the collection to; left without an error, the serving engine has it.

        Left with an error, or by a crash, what was written is found again the next time.
        """
        ...

    async def discard(self, collection: str) -> None:
        """Remove what was made of a collection that is not wanted any more."""
        ...

    async def set_aside(self, collection: str) -> bool:
        """Take a collection that cannot be read from the serving engine, and keep it where it does no harm.

        False if the engine is not ours to take it from: nothing has changed then.
        """
        ...

    async def release(self, collection: str) -> str:
        """Keep a collection that is not of this log, out of the serving engine's way where it is ours; says where."""
        ...


class InPlace:
    """Implements SnapshotBuilder in the engine that serves: for one that optimises by itself."""

    optimises = False

    def __init__(self, store: QdrantStore) -> None:
        self._store = store

    @asynccontextmanager
    async def making(self, _collection: str) -> AsyncIterator[QdrantStore]:
        """The serving store."""
        yield self._store

    async def discard(self, collection: str) -> None:
        """Drop it."""
        await self._store.drop(collection)

    async def set_aside(self, _collection: str) -> bool:
        """The engine is somebody else's."""
        return False

    async def release(self, _collection: str) -> str:
        """It stays where it is."""
        return "in the engine, under its name"
