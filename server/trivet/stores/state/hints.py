"""Hints that something in the store has changed, so that nobody has to wait for the next second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import psycopg
from sqlalchemy import URL, Connection, text

logger = logging.getLogger(__name__)

CHANNEL = "trivet_rollouts"
_RETRY_SECONDS = 1.0
_CHECK_SECONDS = 5.0


def send(connection: Connection) -> None:
    """Send one with the transaction, to every gateway that listens; nothing where the store is a file."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"NOTIFY {CHANNEL}"))


class Hints:
    """Passes hints on to everybody in this process who listens. Every call comes from one event loop.

    Of PostgreSQL they come by one connection of their own, opened with the first who listens and made again when it is
    lost. A pooler in transaction mode loses them: whoever listens asks the store once a second besides.
    """

    def __init__(self, url: URL | None) -> None:
        """`url`: of PostgreSQL; None for a file."""
        self._url = url
        self._listeners: set[asyncio.Event] = set()
        self._listening: asyncio.Task[None] | None = None
        self._closed = False

    def tell(self) -> None:
        """Wake everybody who listens."""
        for listener in self._listeners:
            listener.set()

    async def listen(self) -> AsyncIterator[None]:
        """One item for each time that something changed, several at once as one. Ends with `close`."""
        woken = asyncio.Event()
        self._listeners.add(woken)
        if self._url is not None and self._listening is None and not self._closed:
            self._listening = asyncio.create_task(self._follow(self._url), name="hints of the state store")
        try:
            while not self._closed:
                await woken.wait()
                woken.clear()
                if not self._closed:
                    yield
        finally:
            self._listeners.discard(woken)

    def close(self) -> None:
        """Nobody is told any more."""
        self._closed = True
        self.tell()
        if self._listening is not None:
            self._listening.cancel()

    async def _follow(self, url: URL) -> None:
        address = url.set(drivername="postgresql").render_as_string(hide_password=False)
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(address, autocommit=True, connect_timeout=5)
                async with connection:
                    await self._pass_on(connection)
            except (psycopg.Error, OSError) as error:
                logger.debug("no hints from the state store: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _pass_on(self, connection: psycopg.AsyncConnection) -> None:
        await connection.execute(f"LISTEN {CHANNEL}")
        while True:
            self.tell()  # also after a reconnection: something may have been missed
            async with asyncio.timeout(None) as patience:
                while not [_ async for _ in connection.notifies(timeout=_CHECK_SECONDS, stop_after=1)]:
                    patience.reschedule(asyncio.get_running_loop().time() + _CHECK_SECONDS)
                    await connection.execute("SELECT 1")  # a peer that is gone without a word is noticed
                    patience.reschedule(None)
