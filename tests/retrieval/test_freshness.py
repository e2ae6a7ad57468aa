"""Writers, readers and kills, and the history of it: nothing lost, missing, stale, mixed or risen from the dead."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Awaitable, Callable

import pytest

from freshness_history import Read, Write, name, problems, question, text
from retrieval_documents import markdown
from trivet.errors import RetrievalUnavailable
from trivet.retrieval.service import IndexService
from trivet.stores.vector_process import VectorProcess
from trivet.types.passage import SearchQuery

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]

WRITERS, READERS, DOCUMENTS = 4, 8, 8
SECONDS, KILLS = 40.0, 3
PHASE = 6, 30  # writes acknowledged and reads between two kills, at least, however slow the machine


class History:
    """What writers and readers did."""

    def __init__(self, seed: int) -> None:
        self.writes: list[Write] = []
        self.reads: list[Read] = []
        self.failed_reads = 0
        self.stop = False
        self._draw = random.Random(seed)

    def has(self, acknowledged: int, reads: int) -> bool:
        """Whether there are so many acknowledged writes and reads."""
        return len(self.reads) >= reads and sum(w.acknowledged is not None for w in self.writes) >= acknowledged

    async def write(self, service: IndexService, documents: range) -> None:
        """Replace and delete these documents, which are this writer's alone."""
        loop = asyncio.get_running_loop()
        number = 0
        while not self.stop:
            number += 1
            document = self._draw.choice(documents)
            deleting = self._draw.random() < 0.2
            parts = 0 if deleting else self._draw.choice((1, 2, 4))
            begun, acknowledged = loop.time(), None
            with contextlib.suppress(RetrievalUnavailable):
                if deleting:
                    await service.delete("handbook", [name(document)])
                else:
                    await service.upsert("handbook", markdown(name(document), text(document, number, parts)))
                acknowledged = loop.time()
            self.writes.append(Write(document, 0 if deleting else number, parts, begun, acknowledged))
            await asyncio.sleep(self._draw.uniform(0, 0.05))

    async def read(self, service: IndexService) -> None:
        """Ask for documents in other words than theirs."""
        loop = asyncio.get_running_loop()
        while not self.stop:
            document = self._draw.randrange(DOCUMENTS)
            begun = loop.time()
            try:
                result = await service.search(SearchQuery("handbook", question(document), "", 100))
            except RetrievalUnavailable:
                self.failed_reads += 1
                await asyncio.sleep(0.05)
                continue
            ours = tuple(one.text for one in result.passages if one.document_id == name(document))
            self.reads.append(Read(document, begun, loop.time(), ours))


async def test_a_history_with_kills_of_the_engine(
    make_service: Callable[..., Awaitable[IndexService]], engine: VectorProcess
) -> None:
    service = await make_service()
    history = History(11)
    share = DOCUMENTS // WRITERS
    tasks = [asyncio.create_task(history.write(service, range(n * share, (n + 1) * share))) for n in range(WRITERS)]
    tasks += [asyncio.create_task(history.read(service)) for _ in range(READERS)]
    for phase in range(1, KILLS + 2):
        await asyncio.sleep(SECONDS / (KILLS + 1))
        while engine.pid is None or not history.has(*(phase * least for least in PHASE)):
            await asyncio.sleep(0.05)
        if phase <= KILLS:
            os.kill(engine.pid, signal.SIGKILL)
    history.stop = True
    await asyncio.gather(*tasks)
    assert any(write.acknowledged is None for write in history.writes), "no kill hit a write"
    assert problems(history.writes, history.reads) == []


def test_what_a_history_shows() -> None:
    def parts(number: int, many: int) -> tuple[str, ...]:
        return tuple(text(0, number, many).split("\n\n"))

    writes = [Write(0, 1, 2, 1.0, 2.0), Write(0, 2, 1, 3.0, 4.0), Write(0, 0, 0, 5.0, 6.0), Write(0, 3, 1, 7.0, None)]
    right = [
        Read(0, 0.0, 0.5, ()),
        Read(0, 2.5, 2.6, parts(1, 2)),
        Read(0, 2.5, 3.5, parts(1, 2)),
        Read(0, 2.5, 3.5, parts(2, 1)),
        Read(0, 4.5, 5.5, ()),
        Read(0, 6.5, 6.6, ()),
        Read(0, 8.0, 9.0, ()),
        Read(0, 8.0, 9.0, parts(3, 1)),
    ]
    assert problems(writes, right) == []
    wrong = {
        "missing": Read(0, 2.5, 3.5, ()),
        "mixed": Read(0, 2.5, 3.5, (*parts(1, 2), *parts(2, 1))),
        "in part": Read(0, 2.5, 3.5, parts(1, 2)[:1]),
        "stale": Read(0, 4.5, 4.6, parts(1, 2)),
    }
    for kind, read in wrong.items():
        (problem,) = problems(writes, [read])
        assert problem.startswith(f"{kind}:")
    (dead,) = problems(writes, [Read(0, 6.5, 6.6, parts(2, 1))])
    assert dead.startswith("stale:")
