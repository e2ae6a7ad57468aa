"""The cache of passages' vectors: exact, bounded, and never in the way."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from trivet.retrieval.embedding.cache import CacheKey, EmbeddingCache, Vector, cache_key

ROOM = 1 << 30


def vector(number: int, dimension: int = 384) -> Vector:
    return np.random.default_rng(number).standard_normal(dimension).astype(np.float32)


def key(number: int) -> CacheKey:
    return cache_key("model", f"text {number}")


@pytest.fixture
async def cache(tmp_path: Path) -> AsyncIterator[EmbeddingCache]:
    """An empty one, in a folder that is not there yet."""
    cache = EmbeddingCache(tmp_path / "cache" / "vectors.sqlite", max_bytes=ROOM)
    yield cache
    await cache.close()


async def test_what_was_put_in_comes_back_bit_for_bit_also_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    special = np.array([0.0, -0.0, np.nan, np.inf, 1e-45], dtype=np.float32)
    for restarted in (False, True):
        cache = EmbeddingCache(path, max_bytes=ROOM)
        if not restarted:
            assert await cache.get_many([key(0)]) == {}
            await cache.put_many({key(number): vector(number) for number in range(1200)})
            await cache.put_many({key(5000): special})
        found = await cache.get_many([key(number) for number in range(1201)])
        assert set(found) == {key(number) for number in range(1200)}
        assert all(found[key(number)].tobytes() == vector(number).tobytes() for number in range(1200))
        assert (await cache.get_many([key(5000)]))[key(5000)].tobytes() == special.tobytes()
        await cache.close()


def test_a_key_tells_models_and_texts_apart() -> None:
    keys = {
        cache_key("a", "bc"),
        cache_key("ab", "c"),
        cache_key("a", "bd"),
        cache_key("a", "b\ud800"),
        cache_key("", ""),
    }
    assert len(keys) == 5


async def test_it_is_bounded_and_the_least_recently_used_go_first(tmp_path: Path) -> None:
    limit = 4 * 2**20
    cache = EmbeddingCache(tmp_path / "vectors.sqlite", max_bytes=limit)
    kept = [key(number) for number in range(10)]
    for start in range(0, 6000, 200):
        await cache.put_many({key(number): vector(number) for number in range(start, start + 200)})
        assert len(await cache.get_many(kept)) == 10, "they are in use"
        assert await cache.used_bytes() <= limit
    there = await cache.get_many([key(number) for number in range(6000)])
    newest = [number for number in range(6000) if key(number) in there]
    assert 1500 < len(newest) < 2600
    assert newest[:10] == list(range(10))
    assert newest[10:] == list(range(newest[10], 6000)), "the oldest have gone, none in between"
    await cache.close()
    assert (tmp_path / "vectors.sqlite").stat().st_size < limit * 1.3


async def test_one_vector_that_is_larger_than_the_bound_is_no_error(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "vectors.sqlite", max_bytes=1)
    await cache.put_many({key(1): vector(1)})
    assert await cache.get_many([key(1)]) == {}
    await cache.close()


def overwrite(path: Path) -> None:
    path.write_bytes(b"this is no database at all" * 1000)


def tear(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[100:] = b"\xff" * (len(data) - 100)
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3 + 17])


def other_format(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
        database.execute("DROP TABLE vectors")
    database.close()


@pytest.mark.parametrize("damage", [overwrite, tear, cut, other_format])
async def test_a_damaged_file_is_started_anew_with_a_line_in_the_log(
    damage: object, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(damage)
    path = tmp_path / "vectors.sqlite"
    cache = EmbeddingCache(path, max_bytes=ROOM)
    await cache.put_many({key(number): vector(number) for number in range(300)})
    await cache.close()
    damage(path)
    with caplog.at_level(logging.WARNING):
        cache = EmbeddingCache(path, max_bytes=ROOM)
        found = await cache.get_many([key(number) for number in range(300)])
        assert all(found[key(n)].tobytes() == vector(n).tobytes() for n in range(300) if key(n) in found)
        await cache.put_many({key(7): vector(7)})
        assert (await cache.get_many([key(7)]))[key(7)].tobytes() == vector(7).tobytes()
        await cache.close()
    assert "started anew" in caplog.text


async def test_a_vector_whose_bytes_have_changed_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    cache = EmbeddingCache(path, max_bytes=ROOM)
    await cache.put_many({key(1): vector(1), key(2): vector(2)})
    await cache.close()
    with sqlite3.connect(path) as database:
        (data,) = database.execute("SELECT vector FROM vectors WHERE key = ?", (key(1),)).fetchone()
        database.execute("UPDATE vectors SET vector = ? WHERE key = ?", (b"\x01" + data[1:], key(1)))
    database.close()
    cache = EmbeddingCache(path, max_bytes=ROOM)
    assert set(await cache.get_many([key(1), key(2)])) == {key(2)}
    await cache.put_many({key(1): vector(1)})
    assert len(await cache.get_many([key(1), key(2)])) == 2
    await cache.close()


async def test_a_file_that_cannot_be_written_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("where a folder should be")
    cache = EmbeddingCache(tmp_path / "file" / "vectors.sqlite", max_bytes=ROOM)
    with caplog.at_level(logging.WARNING):
        await cache.put_many({key(1): vector(1)})
        assert await cache.get_many([key(1)]) == {}
    assert "not used for now" in caplog.text
    await cache.close()


async def test_a_cancelled_caller_disturbs_no_other(cache: EmbeddingCache) -> None:
    writers = [
        asyncio.create_task(cache.put_many({key(n): vector(n) for n in range(start, start + 100)}))
        for start in range(0, 2000, 100)
    ]
    await asyncio.sleep(0)
    for writer in writers[::2]:
        writer.cancel()
    results = await asyncio.gather(*writers, return_exceptions=True)
    assert any(isinstance(result, asyncio.CancelledError) for result in results)
    found = await cache.get_many([key(number) for number in range(2000)])
    for number in range(2000):
        if (number // 100) % 2:
            assert found[key(number)].tobytes() == vector(number).tobytes()


async def test_two_may_share_the_file(cache: EmbeddingCache, tmp_path: Path) -> None:
    other = EmbeddingCache(tmp_path / "cache" / "vectors.sqlite", max_bytes=ROOM)
    for start in range(0, 1000, 100):
        await asyncio.gather(
            cache.put_many({key(n): vector(n) for n in range(start, start + 50)}),
            other.put_many({key(n): vector(n) for n in range(start + 50, start + 100)}),
        )
    assert len(await cache.get_many([key(number) for number in range(1000)])) == 1000
    await other.close()
