"""Making collections for the vector process that serves, in another one."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from trivet.stores.qdrant import QdrantStore
from trivet.stores.vector_process import VectorProcess

_NICENESS = 10


class CollectionBuilder:
    """A private vector process of low priority; what it has made is optimised, then moved to the one that serves.

    Optimising takes minutes and holds up every call of its process: the one that serves never does it.
    """

    optimises = True

    def __init__(self, serving: VectorProcess, store: QdrantStore, folder: Path, log_file: Path) -> None:
        """`store`: of the process that serves. `folder`: for what is being made, on the same file system."""
        self._serving = serving
        self._store = store
        self._folder = folder
        self._log_file = log_file

    @asynccontextmanager
    async def making(self, collection: str) -> AsyncIterator[QdrantStore]:
        """A store to write the collection to; left without an error, it is optimised and served.

        Left with an error, or by a crash, what was written is found again the next time. Raises RetrievalUnavailable,
        DataFolderInUse.
        """
        if collection in await self._store.collections():  # it was moved, and then something came in between
            yield self._store
            return
        process = VectorProcess(self._folder, self._log_file, niceness=_NICENESS)
        await process.start()
        try:
            store = QdrantStore.embedded(lambda: process.endpoint)
            try:
                yield store
            finally:
                await store.close()
        finally:
            await process.stop()
        await process.optimize(collection)
        await self._serving.attach(collection, process.collection(collection))

    async def discard(self, collection: str) -> None:
        """Remove what was made of a collection that is not wanted any more."""
        process = VectorProcess(self._folder, self._log_file)
        await asyncio.to_thread(shutil.rmtree, process.collection(collection), ignore_errors=True)
        await self._store.drop(collection)
