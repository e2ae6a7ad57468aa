"""Splitting in processes: the same passages, bounded, fair, and nobody's document stops the others."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import textwrap
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image, ImageDraw, ImageFont

from tests.support.processes import cpu_seconds, gone
from tests.support.retrieval.documents import markdown
from tests.support.retrieval.pdf_files import pdf, pdf_of_streams
from tests.support.retrieval.tesseract import NotHere, tesseract
from trivet.errors import DocumentRejected, Overloaded, RetrievalUnavailable
from trivet.retrieval.embedding.embedding import OnnxEmbedder
from trivet.retrieval.passages.limits import DEFAULT_LIMITS, DocumentLimits
from trivet.retrieval.passages.process.messages import decode_chunks, encode_chunks
from trivet.retrieval.passages.process.pool import SplittingPool
from trivet.retrieval.passages.splitting import Chunk, Splitter
from trivet.retrieval.processes.frames import BrokenFrame
from trivet.retrieval.settings import IndexSettings
from trivet.types.passage import Document, DocumentFormat

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]

SMALL = markdown("small", "# Title\n\nOne.\n\n| a | b |\n|---|---|\n| 1 | 2 |")
SLOW = Document("slow", b"- x\n" * 900_000, DocumentFormat.MARKDOWN)  # more than half a minute of CPU time
BOMB = Document("bomb", pdf_of_streams([b" " * (400 << 20)], compress=True), DocumentFormat.PDF)

Split = Callable[..., asyncio.Task[list[Chunk]]]
Make = Callable[..., tuple[SplittingPool, Split]]


@pytest_asyncio.fixture(loop_scope="module")
async def make(embedder: OnnxEmbedder, settings: IndexSettings) -> AsyncIterator[Make]:
    """Makes pools, each with a function that begins to split a document."""
    made: list[SplittingPool] = []

    def pool(limits: DocumentLimits = DEFAULT_LIMITS, **bounds: int) -> tuple[SplittingPool, Split]:
        made.append(SplittingPool(limits, **bounds))
        here = made[-1]

        def split(document: Document, **options: bool) -> asyncio.Task[list[Chunk]]:
            splitting = here.split(document, settings, embedder.exported.folder, embedder.room, **options)
            return asyncio.create_task(splitting)

        return here, split

    yield pool
    for one in made:
        one.close()


async def running(pool: SplittingPool, not_this: int | None = None) -> int:
    """The pid of its first process, once it has one."""
    async with asyncio.timeout(60):
        while pool.processes[0].pid in (None, not_this):
            await asyncio.sleep(0.005)
    assert pool.processes[0].pid is not None
    return pool.processes[0].pid


async def at_work(
    pool: SplittingPool, split: Split, document: Document = SLOW
) -> tuple[int, asyncio.Task[list[Chunk]]]:
    """A process that is busy with this document."""
    await split(SMALL)
    pid = await running(pool)
    before = cpu_seconds(pid)
    busy = split(document)
    while cpu_seconds(pid) < before + 0.3:
        await asyncio.sleep(0.01)
    return pid, busy


async def test_its_passages_are_those_of_a_splitter_here(
    make: Make, settings: IndexSettings, embedder: OnnxEmbedder
) -> None:
    pool, split = make()
    assert pool.processes[0].pid is None, "not before the first document"
    here = Splitter(settings, embedder.model, embedder.room)
    lines = b'{"question": "Why?", "answer": "So."}\n{"text": "a", "title": "T"}'
    for document in (
        SMALL,
        replace(SMALL, title="Given", tenant="acme"),
        markdown("tagged", "---\ntags: [x]\n---\n" + "A sentence of some words. " * 5000),
        Document("html", "<h1>Ü</h1><table><tr><th>A<tr><td>漢".encode(), DocumentFormat.HTML),
        Document("pdf", pdf([["The lamp weighs", "12 grams."]], title="Lamp"), DocumentFormat.PDF),
        Document("lines", lines, DocumentFormat.JSON_LINES),
    ):
        assert await split(document) == here.split(document)
    assert pool.processes[0].restarts == 0


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (Document("d", b"<![ x", DocumentFormat.HTML), "document 'd' has no text"),
        (Document("d", b"%PDF-1.4 nonsense", DocumentFormat.PDF), "document 'd': it is damaged"),
        (Document("d", b"{", DocumentFormat.JSON_LINES), "document 'd': line 1: not JSON"),
        (Document("d", b"\xff", DocumentFormat.TEXT), "document 'd' is not UTF-8"),
    ],
)
async def test_a_document_that_cannot_be_read_is_refused_and_the_process_goes_on(
    document: Document, problem: str, make: Make
) -> None:
    pool, split = make()
    with pytest.raises(DocumentRejected, match=problem):
        await split(document)
    assert await split(SMALL)
    assert pool.processes[0].restarts == 0


async def test_one_that_takes_too_long_is_refused_and_the_next_one_is_split(make: Make) -> None:
    pool, split = make(DocumentLimits(seconds=1))
    slow, small = split(SLOW), split(SMALL)
    with pytest.raises(DocumentRejected, match="document 'slow': reading it takes longer than 1 s"):
        await slow
    assert await small
    assert pool.processes[0].restarts == 1


async def test_a_bomb_cannot_take_the_memory(make: Make) -> None:
    _, split = make(DocumentLimits(memory=400 << 20))
    with pytest.raises(
        DocumentRejected, match=r"document 'bomb': (it cannot be read|.*memory|it is damaged|.*no text)"
    ):
        await split(BOMB)
    assert await split(SMALL)


async def test_many_passages_are_refused(make: Make) -> None:
    _, split = make(DocumentLimits(passages=10))
    with pytest.raises(DocumentRejected, match="document 'd': it has more than 10 passages"):
        await split(markdown("d", "x\n\n" * 11))
    assert len(await split(markdown("d", "x\n\n" * 10))) == 10


async def test_one_whose_process_is_killed_is_tried_once_more_and_then_refused(make: Make) -> None:
    pool, split = make()
    pid, busy = await at_work(pool, split)
    os.kill(pid, signal.SIGKILL)
    second = await running(pool, pid)
    while cpu_seconds(second) < 0.6:  # it has started
        await asyncio.sleep(0.01)
    os.kill(second, signal.SIGKILL)
    with pytest.raises(DocumentRejected, match="document 'slow': it cannot be read: the process that reads it crashed"):
        await busy
    assert await split(SMALL)


async def test_a_cancelled_one_ends_at_once_and_so_does_its_process(make: Make) -> None:
    pool, split = make()
    pid, busy = await at_work(pool, split)
    waiting = split(SMALL)
    busy.cancel()
    assert await asyncio.wait_for(waiting, 30)
    assert gone(pid)
    assert await running(pool) != pid


async def test_a_scanned_page_is_recognized_within_the_bounds(make: Make, tmp_path: Path) -> None:
    try:
        limits = replace(DEFAULT_LIMITS, ocr_command=await asyncio.to_thread(tesseract, tmp_path), ocr_languages="eng")
    except NotHere as error:
        pytest.skip(str(error))
    page, scanned = Image.new("L", (1240, 400), 255), io.BytesIO()
    ImageDraw.Draw(page).text((100, 100), "The lantern weighs 412 grams.", fill=0, font=ImageFont.load_default(40))
    page.save(scanned, "PDF", resolution=150)
    _, split = make(limits)
    (chunk,) = await split(Document("scan", scanned.getvalue(), DocumentFormat.PDF))
    assert (chunk.text, chunk.place) == ("The lantern weighs 412 grams.", "page 1")


async def test_a_program_that_recognizes_text_ends_with_the_process_that_started_it(make: Make, tmp_path: Path) -> None:
    endless = tmp_path / "endless"
    endless.write_text("#!/bin/sh\nexec /bin/sleep 600\n")
    endless.chmod(0o755)
    pool, split = make(replace(DEFAULT_LIMITS, ocr_command=str(endless), ocr_languages="eng"))
    picture = io.BytesIO()
    Image.new("L", (100, 100), 255).save(picture, "PNG")
    busy = split(Document("scan", picture.getvalue(), DocumentFormat.IMAGE))
    pid = await running(pool)
    started: list[str] = []
    async with asyncio.timeout(60):
        while not started:
            await asyncio.sleep(0.01)
            started = _children(pid)
    os.kill(pid, signal.SIGKILL)
    assert gone(int(started[0]))
    busy.cancel()


async def test_one_that_is_cancelled_while_it_waits_is_not_split(make: Make) -> None:
    pool, split = make()
    pid, busy = await at_work(pool, split)
    waiting = split(SMALL)
    await asyncio.sleep(0)
    assert pool.queued == 1
    waiting.cancel()
    await asyncio.sleep(0.01)
    assert pool.queued == 0
    assert not busy.done()
    assert pool.processes[0].pid == pid


async def test_closing_ends_what_is_being_split_and_what_waits(make: Make) -> None:
    pool, split = make()
    pid, busy = await at_work(pool, split)
    waiting = split(SMALL)
    await asyncio.sleep(0)
    started = time.monotonic()
    pool.close()
    for task in (busy, waiting, split(SMALL)):
        with pytest.raises(RetrievalUnavailable):
            await task
    assert time.monotonic() - started < 15, "not when the document is done"
    assert gone(pid)


async def test_tenants_take_turns(make: Make) -> None:
    pool, split = make(processes=1)
    _, busy = await at_work(pool, split)
    order: list[str] = []
    tasks = []
    for tenant in ("acme", "acme", "acme", "bolt"):
        task = split(replace(SMALL, tenant=tenant))
        task.add_done_callback(_noting(order, tenant))
        tasks.append(task)
    await asyncio.sleep(0)
    busy.cancel()
    await asyncio.gather(*tasks)
    assert order.index("bolt") <= 1


async def test_too_many_are_refused_and_who_has_most_waiting_makes_room(make: Make) -> None:
    pool, split = make(max_queued=3, processes=1)
    await at_work(pool, split)
    many = [split(replace(SMALL, tenant="many"), patient=False) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="too many documents waiting"):
        await split(replace(SMALL, tenant="many"), patient=False)
    other = split(replace(SMALL, tenant="other"), patient=False)
    with pytest.raises(Overloaded):
        await many[2]
    assert split(replace(SMALL, tenant="a build"))
    await asyncio.sleep(0)
    assert pool.queued == 4
    assert not other.done()


async def test_one_process_is_left_to_other_tenants(make: Make) -> None:
    pool, split = make(processes=2)
    busy = split(replace(SLOW, tenant="acme"))
    mine = split(replace(SMALL, tenant="acme"))
    assert await split(replace(SMALL, tenant="bolt"))
    assert not busy.done()
    assert not mine.done()
    assert pool.queued == 1
    assert len({process.pid for process in pool.processes} - {None}) == 2


async def test_a_single_process_takes_whoever_comes(make: Make) -> None:
    _, split = make(processes=1, max_queued=0)
    assert await split(SMALL, patient=False)
    busy = split(SLOW, patient=False)
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="too many documents waiting"):
        await split(SMALL, patient=False)
    assert not busy.done()


async def test_it_has_a_low_priority_and_none_of_the_environment(make: Make) -> None:
    pool, split = make()
    await split(SMALL)
    pid = await running(pool)
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    assert _environment(pid).split("\0") == ["TOKENIZERS_PARALLELISM=false", f"TRIVET_PARENT_PID={os.getpid()}"]


async def test_it_dies_with_a_parent_that_is_killed(embedder: OnnxEmbedder) -> None:
    program = f"""
        import asyncio, pathlib
        from trivet.retrieval.passages.process.pool import SplittingPool
        from trivet.retrieval.settings import IndexSettings
        from trivet.types.passage import Document, DocumentFormat
        async def main():
            pool, settings = SplittingPool(), IndexSettings("i", pathlib.Path())
            async def split(content):
                document = Document("d", content, DocumentFormat.MARKDOWN)
                await pool.split(document, settings, pathlib.Path({str(embedder.exported.folder)!r}), {embedder.room})
            await split(b"x")
            print(pool.processes[0].pid, flush=True)
            await split(b"- x\\n" * 900_000)
        asyncio.run(main())
    """
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", textwrap.dedent(program), stdout=PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    assert not gone(child, within=0)
    parent.kill()
    await parent.wait()
    assert await asyncio.to_thread(gone, child)


def _noting(order: list[str], tenant: str) -> Callable[[asyncio.Task[list[Chunk]]], None]:
    return lambda _: order.append(tenant)


def _environment(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text().strip("\0")


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _chunks() -> Sequence[Chunk]:
    return [Chunk(n, "t", "x", 1, n, n + 1, "", ("a",)) for n in range(200)]


async def test_chunks_come_back_as_they_went_and_nothing_else_does() -> None:
    bodies = list(encode_chunks(_chunks()))
    assert len(bodies) > 1
    assert [chunk for body in bodies for chunk in decode_chunks(body)] == _chunks()
    for broken in (b"", b"{", b"[1]", b'[{"n": 0}]', bodies[0].replace(b'"n": 0', b'"n": "0"')):
        with pytest.raises(BrokenFrame):
            decode_chunks(broken)
