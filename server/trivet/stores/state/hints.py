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
    """Send one with the transaction; nothing where the store is a file, which `LocalHints` serves."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"NOTIFY {CHANNEL}"))


class LocalHints:
    """Hints inside one process. Every call comes from one event loop."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def send(self) -> None:
        """Wake everybody who listens."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def listen(self) -> AsyncIterator[None]:
        """One item for each time that something changed, several at once as one."""
        while True:
            await self._changed.wait()
            yield


async def listen(url: URL) -> AsyncIterator[None]:
    """Hints of PostgreSQL, by a connection of their own, made again when it is lost; an item after each reconnection.

    A pooler in transaction mode loses them: whoever listens asks the store once a second besides.
    """
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    while True:
        try:
            connection = await psycopg.AsyncConnection.connect(address, autocommit=True, connect_timeout=5)
        except psycopg.Error as error:
            logger.debug("no hints from the state store: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        try:
            async with connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                yield
                while True:
                    async for _ in connection.notifies(timeout=_CHECK_SECONDS, stop_after=1):
                        yield
                    await connection.execute("SELECT 1")  # a peer that is gone without a word is noticed
        except psycopg.Error as error:
            logger.debug("hints from the state store have ended: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
