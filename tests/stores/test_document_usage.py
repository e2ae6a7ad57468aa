"""How much a tenant has, and may have."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from trivet.errors import QuotaExceeded
from trivet.stores.document_log import DOCUMENT_LOG_SCHEMA, DocumentLog, add_fields
from trivet.stores.document_usage import Usage, count_usage, usage_of
from trivet.stores.records import DocumentKey, Origin
from trivet.stores.sqlite import Database
from trivet.types.budget import Quota, Quotas
from trivet.types.passage import Document, DocumentFormat

QUOTAS = Quotas(Quota(max_documents=3, max_bytes=100), {"bolt": Quota()})
VERSION_1 = (
    *(
        statement.replace("fields TEXT NOT NULL DEFAULT '{}',", "")  # which came with version 3
        for statement in DOCUMENT_LOG_SCHEMA
        if "entries" in statement and "contents" not in statement
    ),
    "CREATE TABLE contents (seq INTEGER PRIMARY KEY REFERENCES entries, compressed BLOB NOT NULL) STRICT",
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(tmp_path / "log.sqlite", 3, DOCUMENT_LOG_SCHEMA)
    yield database
    database.close()


def document(document_id: str, size: int = 10, tenant: str = "acme") -> Document:
    return Document(document_id, b"x" * size, DocumentFormat.TEXT, tenant=tenant)


async def add(log: DocumentLog, one: Document, index: str = "facts") -> None:
    await log.require_room(index, one)
    await log.append(index, one, f"digest {one.id} {len(one.content)}", Origin.UPSERT)


async def remove(log: DocumentLog, document_id: str, tenant: str = "acme") -> None:
    newest = await log.newest("facts", DocumentKey(tenant, document_id))
    assert newest is not None
    await log.append_deletion(newest, "")


async def used(database: Database, tenant: str = "acme") -> Usage:
    return await database.run(partial(usage_of, tenant=tenant))


async def test_documents_and_bytes_are_counted_over_all_indexes(database: Database) -> None:
    log = DocumentLog(database)
    await add(log, document("a"))
    await add(log, document("a", 30))
    await add(log, document("b"), "other")
    await add(log, document("b", tenant="bolt"))
    assert await used(database) == Usage(2, 40)
    await remove(log, "a")
    assert (await used(database), await used(database, "bolt")) == (Usage(1, 10), Usage(1, 10))
    await add(log, document("a", 5))
    assert await used(database) == Usage(2, 15)


async def test_what_goes_beyond_a_quota_is_refused_and_changes_nothing(database: Database) -> None:
    log = DocumentLog(database, QUOTAS)
    for name in ("a", "b", "c"):
        await add(log, document(name))
    for too_much in (document("d"), document("a", 81)):
        with pytest.raises(QuotaExceeded):
            await add(log, too_much)
        with pytest.raises(QuotaExceeded, match="beyond its quota of"):
            await log.append("facts", too_much, "d", Origin.UPSERT)
    assert await used(database) == Usage(3, 30)
    await add(log, document("a", 80))
    for tenant in ("bolt", ""):
        for number in range(5):
            await add(log, document(str(number), 100, tenant))
    await remove(log, "b")
    await add(log, document("d"))


async def test_a_lowered_quota_still_lets_documents_shrink(database: Database) -> None:
    await add(DocumentLog(database), document("a", 500))
    log = DocumentLog(database, QUOTAS)
    await add(log, document("a", 400))
    with pytest.raises(QuotaExceeded, match="tenant 'acme' has 400 bytes of documents, 1 more are beyond its quota of"):
        await add(log, document("a", 401))


async def test_writers_at_the_same_time_keep_the_quota_and_the_books(database: Database) -> None:
    log, chance = DocumentLog(database, Quotas(Quota(max_documents=10, max_bytes=300))), random.Random(7)

    async def write() -> int:
        refused = 0
        for _ in range(40):
            try:
                if chance.random() < 0.6:
                    await add(log, document(f"d{chance.randrange(30)}", chance.randrange(1, 60)))
                else:
                    newest = await log.newest("facts", DocumentKey("acme", f"d{chance.randrange(30)}"))
                    if newest is not None and not newest.deleted:
                        await log.append_deletion(newest, "")
            except QuotaExceeded:
                refused += 1
            now = await used(database)
            assert now.documents <= 10
            assert now.bytes <= 300
        return refused

    assert sum(await asyncio.gather(*(write() for _ in range(8)))) > 0

    def counted(connection: sqlite3.Connection) -> tuple[int, int]:
        return tuple(
            connection.execute(
                "SELECT count(*), ifnull(sum(bytes), 0) FROM entries JOIN contents USING (seq) WHERE newest"
            ).fetchone()
        )

    now = await used(database)
    assert (now.documents, now.bytes) == await database.run(counted)


async def test_a_log_of_the_version_before_gets_its_books(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    old = Database.open(path, 1, VERSION_1)

    def fill(connection: sqlite3.Connection) -> None:
        rows = [
            (1, "acme", "a", 1, 0, 0), (2, "acme", "a", 2, 0, 1), (3, "acme", "b", 1, 0, 1), (4, "", "c", 1, 0, 1),
            (5, "acme", "gone", 2, 1, 1),
        ]  # fmt: skip
        for seq, tenant, name, revision, deleted, newest in rows:
            connection.execute(
                """INSERT INTO entries
                VALUES (?, 'facts', ?, ?, ?, 'd', ?, 'upsert', '', 'text', '', '', '[]', NULL, NULL, 0.0, ?)""",
                (seq, tenant, name, revision, deleted, newest),
            )
            if newest and not deleted:
                connection.execute("INSERT INTO contents VALUES (?, ?)", (seq, zlib.compress(b"x" * 10 * seq)))

    await old.run(fill)
    old.close()
    for _ in range(2):  # once is enough
        database = Database.open(path, 3, DOCUMENT_LOG_SCHEMA, {1: count_usage, 2: add_fields})
        assert (await used(database), await used(database, "")) == (Usage(2, 50), Usage(1, 40))
        assert await DocumentLog(database).content(3) == b"x" * 30
        database.close()
