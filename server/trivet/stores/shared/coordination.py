"""Which gateway writes what: claims on documents, and the right to make and swap an index's snapshots."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator

from trivet.errors import FailedPrecondition, LeaseLost, RetrievalUnavailable, TrivetError
from trivet.stores.records import DocumentKey
from trivet.stores.shared import claims
from trivet.stores.shared.database import SharedDatabase, core_of
from trivet.stores.snapshot_catalogue import Guard
from trivet.stores.sql import SqlConnection
from trivet.stores.state import leases
from trivet.stores.write_terms import WriteTerms
from trivet.types.rollout_state import Lease

_log = logging.getLogger(__name__)

BEAT = 2.0  # seconds between two signs of life
_LOOK_AGAIN = 0.25
LIFE = 10.0  # seconds without one, after which others take over what a gateway has claimed


class SharedCoordination:
    """Implements `trivet.stores.coordination.Coordination` over PostgreSQL. Used from one event loop.

    A claim lasts from the entry's transaction until the entry is in the live snapshot, as long as its owner gives
    signs of life. Nothing depends on claims that the revisions of documents do not also see to: a gateway that was
    asleep and goes on cannot put an older revision over a newer one.
    """

    shared = True

    def __init__(self, database: SharedDatabase, owner: str, *, beat: float = BEAT, life: float = LIFE) -> None:
        """`owner`: this start of this gateway. A sign of life comes each `beat` seconds and lasts for `life`."""
        self._database = database
        self._beat_seconds = beat
        self._life = life
        self._owner = owner
        self._working: Counter[str] = Counter()
        self._leases: dict[str, Lease] = {}
        self._taking = asyncio.Lock()
        self._beating: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Give signs of life from now on. Raises RetrievalUnavailable if the database is away."""
        await self._database.run(lambda connection: claims.live_on(connection, self._owner, self._life))
        self._beating = asyncio.create_task(self._beat(), name="document claims")

    async def close(self) -> None:
        """Others may take over at once."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        with contextlib.suppress(TrivetError):
            await self._database.run(self._leave)

    def admit(self, connection: SqlConnection, index: str, key: DocumentKey, terms: WriteTerms) -> None:
        """See `claims.admit`."""
        claims.admit(connection, index, key, terms, self._owner)

    def terms(self, live: str, changes: int, newest: int) -> WriteTerms:
        return WriteTerms(live, changes, newest, self._logged)

    @contextlib.asynccontextmanager
    async def claimed(self, index: str, key: DocumentKey, live: str, changes: int) -> AsyncIterator[bool]:
        was_open = await self._database.run(
            lambda connection: claims.claim(connection, index, key, live, changes, self._owner)
        )
        yield was_open  # left with an error, the claim stays, and `abandoned` names it
        await self.applied(index, key)

    async def applied(self, index: str, key: DocumentKey) -> None:
        try:
            await self._database.run(lambda connection: claims.release(connection, index, key, self._owner))
        except RetrievalUnavailable as error:  # it is applied all the same, and `abandoned` names it later
            _log.debug("a claim on a document of index %s stays for now: %s", index, error)

    async def abandoned(self, index: str) -> list[DocumentKey]:
        return await self._database.run(lambda connection: claims.abandoned(connection, index, self._owner))

    @contextlib.asynccontextmanager
    async def work(self, index: str, what: str, *, patience: float = 0.0) -> AsyncIterator[None]:
        end = time.monotonic() + patience
        while not await self._begin(index):
            if time.monotonic() > end:
                raise FailedPrecondition(
                    f"another gateway is at work on the snapshots of index {index!r}: {what} has to wait for it"
                )
            await asyncio.sleep(_LOOK_AGAIN)
        try:
            yield
        finally:
            self._working[index] -= 1
            await self._give_up(index)

    async def close_writes(self, index: str) -> None:
        lease = self._lease(index)
        await self._database.run(lambda connection: claims.close(connection, index, lease))

    async def reopen_writes(self, index: str) -> None:
        await self._database.run(lambda connection: claims.reopen(connection, index, self._lease(index)))

    def swapping(self, index: str) -> Guard:
        lease = self._lease(index)
        return lambda connection: claims.swapping(connection, index, lease)

    def entering(self, index: str) -> Guard:
        return lambda connection: claims.enter(connection, index)

    def _logged(self, connection: SqlConnection, index: str, key: DocumentKey, seq: int) -> None:
        claims.put(connection, index, key, self._owner, seq)

    def _lease(self, index: str) -> Lease:
        lease = self._leases.get(index)
        if lease is None:
            raise LeaseLost(f"the right to change snapshots of index {index!r} is not held any more")
        return lease

    async def _begin(self, index: str) -> bool:
        """Take the right to work on the index, or share it with another part of this gateway; False if it is taken."""
        async with self._taking:
            if index not in self._leases:
                lease = await self._take(index)
                if lease is None:
                    return False
                self._leases[index] = lease
            self._working[index] += 1
            return True

    async def _take(self, index: str) -> Lease | None:
        name = f"index/{index}"
        return await self._database.run(
            lambda connection: leases.take(core_of(connection), name, self._owner, self._life)
        )

    async def _give_up(self, index: str) -> None:
        """Let others work on the index, unless a part of this gateway still does."""
        async with self._taking:
            lease = None if self._working[index] else self._leases.pop(index, None)
            if lease is not None:
                with contextlib.suppress(RetrievalUnavailable):  # it expires
                    await self._database.run(lambda connection: leases.release(core_of(connection), lease))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._beat_seconds)
            try:
                await self._database.run(lambda connection: claims.live_on(connection, self._owner, self._life))
                for index in list(self._leases):
                    await (self._renew(index) if self._working[index] else self._give_up(index))
            except TrivetError as error:
                _log.info("no sign of life to the document log: %s", error)
            except Exception:
                _log.exception("no sign of life to the document log")

    async def _renew(self, index: str) -> None:
        async with self._taking:
            held = self._leases.get(index)
            if held is None:
                return
            lease = await self._take(index)
            if lease is None or lease.fence != held.fence:  # it had expired: others may have worked on it
                del self._leases[index]
                _log.warning("index %s: the right to change its snapshots has passed on", index)
                if lease is not None:
                    await self._database.run(lambda connection: leases.release(core_of(connection), lease))

    def _leave(self, connection: SqlConnection) -> None:
        claims.leave(connection, self._owner)
        for lease in self._leases.values():
            leases.release(core_of(connection), lease)
