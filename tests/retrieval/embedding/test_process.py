"""The embedding process: the same vectors, bounded, and never missed for long."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import textwrap
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.processes import gone
from trivet.errors import RetrievalUnavailable
from trivet.retrieval.embedding.embedding import OnnxEmbedder
from trivet.retrieval.embedding.process import EmbeddingProcess
from trivet.retrieval.processes.frames import BrokenFrame, Frame, encode_frame, read_frame

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]

TEXTS = [
    "",
    " ",
    "a word",
    "Ünïcode, 漢字 — and\n\nlines",
    "longer than any window " * 400,
    *(f"text {n}" for n in range(40)),
]
LONG = "long enough to take a while " * 30

Make = Callable[..., EmbeddingProcess]


@pytest_asyncio.fixture(loop_scope="module")
async def make(embedder: OnnxEmbedder) -> AsyncIterator[Make]:
    """Makes processes of the default model."""
    made: list[EmbeddingProcess] = []

    def process(export: Path | None = None, **bounds: float) -> EmbeddingProcess:
        made.append(EmbeddingProcess(export or embedder.exported.folder, **bounds))  # type: ignore[arg-type]
        return made[-1]

    yield process
    for one in made:
        one.close()


async def running(process: EmbeddingProcess, not_this: int | None = None) -> int:
    """Its pid, once it has one."""
    async with asyncio.timeout(60):
        while process.pid in (None, not_this):
            await asyncio.sleep(0.005)
    assert process.pid is not None
    return process.pid


async def test_its_vectors_are_those_of_this_process_bit_for_bit(make: Make, embedder: OnnxEmbedder) -> None:
    process = make()
    assert process.pid is None, "not before the first text"
    vectors = await process.embed(TEXTS)
    assert [v.tobytes() for v in vectors] == [embedder.model.embed(text).tobytes() for text in TEXTS]
    assert await process.embed([]) == []


async def test_it_has_a_low_priority_and_dies_when_it_is_closed(make: Make) -> None:
    process = make()
    await process.embed(["a"])
    pid = await running(process)
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    assert os.getsid(pid) == os.getsid(0), "else the niceness may not count"
    waiting = asyncio.create_task(process.embed([LONG] * 300))
    await asyncio.sleep(0.05)
    process.close()
    with pytest.raises(RetrievalUnavailable):
        await waiting
    with pytest.raises(RetrievalUnavailable):
        await process.embed(["a"])
    assert gone(pid)


async def test_a_text_whose_process_dies_is_tried_once_more(make: Make, embedder: OnnxEmbedder) -> None:
    process = make(max_queued=24)
    texts = [f"{n} {LONG}" for n in range(24)]
    embedding = asyncio.create_task(process.embed(texts))
    pid = await running(process)
    for left in (16, 8):
        while process.queued > left:
            await asyncio.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        pid = await running(process, pid)
    vectors = await embedding
    assert process.restarts == 2
    assert [v.tobytes() for v in vectors] == [embedder.model.embed(text).tobytes() for text in texts]


async def test_a_process_that_dies_twice_over_a_text_is_an_error_and_not_for_ever(make: Make) -> None:
    process = make()
    await process.embed(["a"])

    async def kill() -> None:
        last = None
        while True:
            last = await running(process, last)
            os.kill(last, signal.SIGSTOP)  # it must not have answered before it dies
            os.kill(last, signal.SIGKILL)

    killing = asyncio.create_task(kill())
    with pytest.raises(RetrievalUnavailable):
        await process.embed([LONG, "b"])
    killing.cancel()
    async with asyncio.timeout(60):
        while True:
            try:
                assert len(await process.embed(["c"])) == 1
                break
            except RetrievalUnavailable:
                await asyncio.sleep(0.2)
    assert process.queued == 0


async def test_one_that_cannot_start_says_so_at_once_and_is_started_when_it_can(
    make: Make, embedder: OnnxEmbedder, tmp_path: Path
) -> None:
    process = make(tmp_path / "export")
    started = time.monotonic()
    with pytest.raises(RetrievalUnavailable, match="did not start"):
        await process.embed(TEXTS)
    assert time.monotonic() - started < 10, "not once per text"
    shutil.copytree(embedder.exported.folder, tmp_path / "export")
    await asyncio.sleep(1.1)
    assert len(await process.embed(["a"])) == 1


@pytest.mark.parametrize("text", ["short", "x" * 200_000], ids=["short", "long"])
async def test_one_that_hangs_is_replaced(text: str, make: Make, embedder: OnnxEmbedder) -> None:
    process = make(text_timeout=5)
    await process.embed(["a"])
    pid = await running(process)
    os.kill(pid, signal.SIGSTOP)
    (vector,) = await process.embed([text])
    assert vector.tobytes() == embedder.model.embed(text).tobytes()
    assert process.restarts == 1
    assert gone(pid)


async def test_callers_wait_for_a_place_and_a_short_document_passes_a_long_one(make: Make) -> None:
    process = make(max_queued=8)
    await process.embed(["a"])
    long = asyncio.create_task(process.embed([LONG] * 300))
    async with asyncio.timeout(60):
        while process.queued < 8:  # one is missing for a moment each time that the worker takes one
            await asyncio.sleep(0.001)
    others = [asyncio.create_task(process.embed([f"{n}", f"{n}+"])) for n in range(6)]
    while not all(other.done() for other in others):
        await asyncio.sleep(0.005)
        assert process.queued <= 8
    assert not long.done()
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        await long
    await asyncio.sleep(0)
    assert process.queued == 0


async def test_a_tenant_waits_for_one_text_of_another_and_not_for_all(make: Make) -> None:
    process = make()
    await process.embed(["a"])
    many = [asyncio.create_task(process.embed([f"{n} {LONG}"] * 10, "many")) for n in range(20)]
    await asyncio.sleep(0.05)
    await process.embed(["one", "two"], "few")
    assert not any(task.done() for task in many)
    for task in many:
        task.cancel()
    await asyncio.gather(*many, return_exceptions=True)
    assert process.queued == 0


async def test_a_cancelled_caller_frees_its_places_at_once(make: Make) -> None:
    process = make(max_queued=4)
    await process.embed(["a"])
    os.kill(await running(process), signal.SIGSTOP)  # nothing gets a vector for now
    callers = [asyncio.create_task(process.embed([f"{n}", f"{n}+"])) for n in range(10)]
    await asyncio.sleep(0.05)
    assert process.queued == 4
    for caller in callers[:9]:
        caller.cancel()
    results = await asyncio.gather(*callers[:9], return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    await asyncio.sleep(0.05)
    assert process.queued == 2, "the last one's"
    os.kill(await running(process), signal.SIGCONT)
    assert len(await callers[9]) == 2
    assert process.queued == 0


async def test_it_dies_with_a_parent_that_is_killed(embedder: OnnxEmbedder) -> None:
    program = f"""
        import asyncio, pathlib
        from trivet.retrieval.embedding.process import EmbeddingProcess
        async def main():
            process = EmbeddingProcess(pathlib.Path({str(embedder.exported.folder)!r}))
            await process.embed(["a"])
            print(process.pid, flush=True)
            await process.embed([{LONG!r}] * 10_000)
        asyncio.run(main())
    """
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", textwrap.dedent(program), stdout=PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    assert not gone(child, within=0)
    parent.kill()
    await parent.wait()
    assert await asyncio.to_thread(gone, child)


async def test_frames_come_back_in_any_pieces_and_what_is_none_is_refused() -> None:
    data = encode_frame(Frame.TEXT, "ü".encode() * 1000) + encode_frame(Frame.READY)
    stream = BytesIO(data)
    assert read_frame(lambda _most: stream.read(1)) == (Frame.TEXT, "ü".encode() * 1000)
    assert read_frame(stream.read) == (Frame.READY, b"")
    for broken in (b"", data[:3], data[:50], b"Warning: a library speaks", b"T\xff\xff\xff\xff"):
        with pytest.raises(BrokenFrame):
            read_frame(BytesIO(broken).read)
