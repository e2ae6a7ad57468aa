"""Vectors of passages embedded before: a build, a restart or a rollback does not embed the same text again."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sqlite3
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_log = logging.getLogger(__name__)

_FORMAT = 1  # PRAGMA user_version: a file of another one is started anew
_PAGE = 8192  # five vectors of 384 components nearly fill one; in pages of 4096 a fourth of the file would be empty
_LOW_WATER = 0.9  # removal goes so far below the bound, so that it is not due again at the next vector
_REMOVED_AT_ONCE = 500
_ASKED_AT_ONCE = 500  # SQLite bounds the parameters of a statement
_UNUSABLE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_SCHEMA}
_CHECKSUM = 4  # bytes of CRC-32 behind each vector

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (key BLOB NOT NULL UNIQUE, used INTEGER NOT NULL, vector BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS by_use ON vectors (used);
"""

CacheKey = bytes
Vector = NDArray[np.float32]
Result = TypeVar("Result")


def cache_key(fingerprint: str, text: str, tenant: str = "") -> CacheKey:
    """The key (32 bytes) of a tenant's text, its prompt included, under an embedder's `fingerprint`."""
    owner = f"{tenant}\0" if tenant else ""  # no tenant's name has a NUL, and neither has a text
    return hashlib.sha256(f"{fingerprint}\0{owner}{text}".encode("utf-8", "surrogatepass")).digest()


class EmbeddingCache:
    """Vectors by key in an SQLite file (WAL), on a thread of its own; the least recently used go first.

    It is a cache: what it cannot read is not there, what it cannot write is not kept, and neither is an error. A file
    that is damaged, or of another format, is started anew. What comes back is, bit for bit, what was put in. Use from
    one event loop; several processes may share the file.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """`max_bytes`: of the file's pages that are in use; the write-ahead log comes on top, some megabytes."""
        self._path = path
        self._max_bytes = max_bytes
        self._thread = ThreadPoolExecutor(1, "embedding-cache")
        self._database: sqlite3.Connection | None = None
        self._clock = 0  # of uses: grows with each call

    async def get_many(self, keys: Sequence[CacheKey]) -> dict[CacheKey, Vector]:
        """The vectors (dimension,) of those keys that are there."""
        return await self._run(lambda database: self._get(database, keys)) or {} if keys else {}

    async def put_many(self, vectors: Mapping[CacheKey, Vector]) -> None:
        """Keep them; removes the least recently used ones if there are too many."""
        if vectors:
            await self._run(lambda database: self._put(database, vectors))

    async def used_bytes(self) -> int:
        """Size of the file's pages that are in use."""
        return await self._run(_used_bytes) or 0

    async def close(self) -> None:
        """Let calls finish and close the file. No call after this."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._try, work)

    def _try(self, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
        """`work`'s result, None if the file is of no use; a damaged one is replaced by an empty one and tried again."""
        for attempt in (1, 2):
            try:
                return work(self._opened())
            except (sqlite3.Error, OSError) as error:
                self._close()
                if attempt == 2 or getattr(error, "sqlite_errorcode", 0) & 0xFF not in _UNUSABLE:
                    _log.warning("the embedding cache is not used for now: %s", error)
                    return None
                _log.warning("the embedding cache is damaged (%s) and started anew", error)
                self._remove()
        return None

    def _opened(self) -> sqlite3.Connection:
        if self._database is not None:
            return self._database
        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = _connect(self._path)
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in (0, _FORMAT):
            _log.warning("the embedding cache has format %d, not %d, and is started anew", version, _FORMAT)
            database.close()
            self._remove()
            database = _connect(self._path)
        database.executescript(f"{_SCHEMA} PRAGMA user_version = {_FORMAT};")
        (last,) = database.execute("SELECT max(used) FROM vectors").fetchone()
        self._database, self._clock = database, last or 0
        return database

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _get(self, database: sqlite3.Connection, keys: Sequence[CacheKey]) -> dict[CacheKey, Vector]:
        self._clock += 1
        found: dict[CacheKey, Vector] = {}
        with database:
            for start in range(0, len(keys), _ASKED_AT_ONCE):
                asked = keys[start : start + _ASKED_AT_ONCE]
                marks = ",".join("?" * len(asked))
                rows = database.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", asked)  # noqa: S608
                found.update({key: vector for key, data in rows if (vector := _decode(data)) is not None})
            uses = [(self._clock, key) for key in found]
            database.executemany("UPDATE vectors SET used = ? WHERE key = ?", uses)
        return found

    def _put(self, database: sqlite3.Connection, vectors: Mapping[CacheKey, Vector]) -> None:
        self._clock += 1
        rows = [(key, self._clock, _encode(vector)) for key, vector in vectors.items()]
        with database:
            database.executemany("INSERT OR REPLACE INTO vectors (key, used, vector) VALUES (?, ?, ?)", rows)
            if _used_bytes(database) > self._max_bytes:
                self._make_room(database)

    def _make_room(self, database: sqlite3.Connection) -> None:
        removed = 0
        while _used_bytes(database) > _LOW_WATER * self._max_bytes:
            oldest = "SELECT rowid FROM vectors ORDER BY used, rowid LIMIT ?"
            gone = database.execute(f"DELETE FROM vectors WHERE rowid IN ({oldest})", (_REMOVED_AT_ONCE,)).rowcount  # noqa: S608
            removed += gone
            if not gone:
                break
        _log.info("the embedding cache was full: %d vectors removed", removed)


def _connect(path: Path) -> sqlite3.Connection:
    # The thread that opens it is not always the one that closes it: an executor's thread is the executor's affair.
    database = sqlite3.connect(path, timeout=5, check_same_thread=False)
    try:
        database.execute(f"PRAGMA page_size = {_PAGE}")
        database.execute("PRAGMA journal_mode = WAL")
        # Without a sync per commit: a power cut may cost the last vectors, never the file's order.
        database.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.Error:
        database.close()
        raise
    return database


def _used_bytes(database: sqlite3.Connection) -> int:
    pages, free, size = (
        int(database.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _encode(vector: Vector) -> bytes:
    data = np.ascontiguousarray(vector, dtype="<f4").tobytes()
    return data + zlib.crc32(data).to_bytes(_CHECKSUM, "little")


def _decode(data: bytes) -> Vector | None:
    """The vector; None if its checksum does not fit (SQLite has none of its own)."""
    body, checksum = data[:-_CHECKSUM], data[-_CHECKSUM:]
    if zlib.crc32(body).to_bytes(_CHECKSUM, "little") != checksum:
        return None
    return np.frombuffer(body, dtype="<f4").astype(np.float32)
