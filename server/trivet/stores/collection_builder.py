"""Making collections for the vector process that serves, in another one."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.vector_process import VectorProcess

_NICENESS = 10


class CollectionBuilder:
    """A private vector process of low priority; what it has made is optimised, then moved to the one that serves.

    Optimising takes minutes and holds up every call of its process: the one that serves never does it.
    """

    optimises = True

    def __init__(self, serving: VectorProcess, store: QdrantStore, folder: Path, log_file: Path, foreign: Path) -> None:
        """`store`: of the process that serves. `folder`: for what is being made, on the same file system; `foreign`:
        there, too, for collections that are not of this log."""
        self._serving = serving
        self._store = store
        self._folder = folder
        self._log_file = log_file
        self._foreign = foreign

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

    async def set_aside(self, collection: str) -> bool:
        """The process that serves keeps it in its own folder."""
        await self._serving.set_aside(collection)
        return True

    async def release(self, collection: str) -> str:
        """Move it to the folder for those that are not of this log; nothing removes it there."""
        target = self._foreign / f"{collection}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        await self._serving.detach(collection, target)
        return str(target)
