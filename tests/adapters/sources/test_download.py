"""Download: bounded in bytes, attempts and time, whatever the other side says."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import BinaryIO, cast

import pytest

from trivet.adapters.sources import download
from trivet.adapters.sources.download import Download
from trivet.adapters.sources.source_file import SourceBroken, SourceChanged, SourceFile
from trivet.errors import AdapterRejected, AdapterSourceUnavailable

CONTENT = bytes(range(256)) * 40
BLOCK = 1000


class Reader:
    """A source that gives what `block` makes of an offset and a size."""

    def __init__(self, offset: int, block: Callable[[int, int], bytes]) -> None:
        self._at = offset
        self._block = block

    def read(self, size: int) -> bytes:
        block = self._block(self._at, size)
        self._at += len(block)
        return block

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "BLOCK_BYTES", BLOCK)
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.001)


def source(block: Callable[[int, int], bytes], tag: str | None = "a", size: int = len(CONTENT)) -> SourceFile:
    return SourceFile("weights", size, tag, lambda offset: cast(BinaryIO, Reader(offset, block)))


def honest(at: int, size: int) -> bytes:
    return CONTENT[at : at + size]


def run(file: SourceFile, folder: Path, seconds: float = 60.0, told: list[int] | None = None) -> bool:
    told = [] if told is None else told
    job = Download(file, folder / "target", folder / "partial", Event())
    return job.run(time.monotonic() + seconds, told.append)


def test_whole(tmp_path: Path) -> None:
    told: list[int] = []
    assert not run(source(honest), tmp_path, told=told)
    assert (tmp_path / "target").read_bytes() == CONTENT
    assert told == [*range(0, len(CONTENT), BLOCK), len(CONTENT)]
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_more_than_was_listed(tmp_path: Path) -> None:
    """A server that gives all of a larger object for a part of it."""
    with pytest.raises(AdapterRejected, match="weights has more than the 1500 bytes that were listed for it"):
        run(source(lambda at, size: CONTENT, size=1500), tmp_path)
    assert not (tmp_path / "target").exists()


def test_less_than_was_listed(tmp_path: Path) -> None:
    with pytest.raises(AdapterSourceUnavailable, match="weights broke off after 10240 of 20000 bytes: it ended"):
        run(source(honest, size=20_000), tmp_path)
    with pytest.raises(SourceChanged):
        run(source(honest, tag=None, size=20_000), tmp_path)


def test_breaks_are_counted_from_the_last_progress(tmp_path: Path) -> None:
    calls: list[int] = []

    def breaking(at: int, size: int) -> bytes:
        calls.append(at)
        if len(calls) % (download.RETRIES + 1):
            raise SourceBroken("no")
        return honest(at, size)

    run(source(breaking), tmp_path)
    assert (tmp_path / "target").read_bytes() == CONTENT
    assert len(calls) == 11 * (download.RETRIES + 1)


def test_another_identity_is_never_continued(tmp_path: Path) -> None:
    def breaking(at: int, size: int) -> bytes:
        if at >= 2 * BLOCK:
            raise SourceBroken("no")
        return b"x" * size

    with pytest.raises(AdapterSourceUnavailable, match="broke off after 2000 of"):
        run(source(breaking, tag="old"), tmp_path)
    assert (tmp_path / "partial" / "content").stat().st_size == 2 * BLOCK
    assert not run(source(honest, tag="new"), tmp_path)
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_out_of_time(tmp_path: Path) -> None:
    with pytest.raises(AdapterSourceUnavailable, match="broke off after 0 of 10240 bytes: it took too long"):
        run(source(honest), tmp_path, seconds=-1.0)


def test_reader_that_is_a_file(tmp_path: Path) -> None:
    file = SourceFile("weights", len(CONTENT), None, lambda offset: io.BytesIO(CONTENT[offset:]))
    assert not run(file, tmp_path)
    assert (tmp_path / "target").read_bytes() == CONTENT
