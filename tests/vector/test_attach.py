"""Collections that are made in one vector process and served by another, and how it is noticed that one hangs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import qdrant_edge as edge
from qdrant_client import grpc as proto

from tests.support.retrieval.vector_client import connect, create, points
from trivet.errors import DataFolderInUse, FailedPrecondition, NotFound, RetrievalUnavailable
from trivet.stores.vector_process import VectorProcess
from trivet.vector.engine.collections import Collections

pytestmark = pytest.mark.process


@pytest.fixture
async def builder(tmp_path: Path) -> AsyncIterator[VectorProcess]:
    """A second process, on a folder of its own."""
    builder = VectorProcess(tmp_path / "builder", tmp_path / "builder.log", niceness=3, stop_timeout=5)
    await builder.start()
    yield builder
    await builder.stop()


async def fill(process: VectorProcess, name: str, numbers: range) -> None:
    client = connect(process)
    await create(client, name)
    await client.upsert(name, points(numbers), wait=True)
    await client.close()


async def count(process: VectorProcess, name: str) -> int:
    client = connect(process)
    try:
        assert (await client.query_points(name, [0.5] * 8, using="dense", limit=3)).points
        return (await client.count(name)).count
    finally:
        await client.close()


async def test_what_a_builder_made_is_served_without_a_restart(process: VectorProcess, builder: VectorProcess) -> None:
    assert builder.pid is not None
    assert os.getpriority(os.PRIO_PROCESS, builder.pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 3)
    assert os.getsid(builder.pid) == os.getsid(0), "else the niceness may not count"
    await fill(process, "old", range(10))
    await fill(builder, "new", range(50))
    with pytest.raises(FailedPrecondition, match="stop the process first"):
        await builder.optimize("new")
    with pytest.raises(FailedPrecondition, match=str(builder.pid)):
        await process.attach("new", builder.collection("new"))  # it is open there
    await builder.stop()
    assert await builder.optimize("new") is False, "fifty points need no graph"
    served = process.pid
    await process.attach("new", builder.collection("new"))
    assert not builder.collection("new").exists()
    await process.attach("new", builder.collection("new"))  # as after an answer that was lost
    assert (process.pid, process.restarts) == (served, 0)
    assert await count(process, "new") == 50
    assert await count(process, "old") == 10
    client = connect(process)
    await client.upsert("new", points(range(50, 60)), wait=True)
    await client.close()
    assert served is not None
    os.kill(served, signal.SIGKILL)
    while process.restarts == 0:
        await asyncio.sleep(0.02)
    assert await count(process, "new") == 60
    await process.detach("new", builder.collection("new"))
    await process.detach("new", builder.collection("new"))
    assert set(await process.info()) == {"old"}
    await builder.start()
    assert await count(builder, "new") == 60


async def test_what_cannot_be_attached_stays_where_it_is(process: VectorProcess, tmp_path: Path) -> None:
    await fill(process, "taken", range(5))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "edge_config.json").write_text("{")
    for name, folder, expected in (
        ("new", tmp_path / "nothing", NotFound),
        ("new", broken, FailedPrecondition),
        ("taken", broken, FailedPrecondition),
        ("../out", broken, FailedPrecondition),
        ("~new", broken, FailedPrecondition),
        ("new", Path("broken"), FailedPrecondition),
    ):
        with pytest.raises(expected):
            await process.attach(name, folder)
        assert (broken / "edge_config.json").read_text() == "{"
    with pytest.raises(NotFound):
        await process.detach("nothing", tmp_path / "out")
    with pytest.raises(FailedPrecondition):
        await process.detach("taken", broken)
    assert list(await process.info()) == ["taken"]
    assert await count(process, "taken") == 5


DEATHS = {
    "before the move": "collections._move = lambda *_: die()",
    "after the move": "collections.Collection = lambda *_: die()",
    "when it is open": "real = collections.Collection; collections.Collection = lambda folder: (real(folder), die())",
}


@pytest.mark.parametrize("when", DEATHS)
async def test_a_kill_in_an_attachment_loses_nothing(when: str, tmp_path: Path) -> None:
    made = Collections(tmp_path / "made")
    vectors = proto.VectorsConfig(params=proto.VectorParams(size=2, distance=proto.Distance.Dot))
    made.create(proto.CreateCollection(collection_name="c", vectors_config=vectors))
    made["c"].update(edge.UpdateOperation.upsert_points([edge.Point(n, [0.5, n], {}) for n in range(20)]))
    made.close()
    program = f"""
import os, signal
from pathlib import Path
from trivet.vector.engine import collections
def die():
    os.kill(os.getpid(), signal.SIGKILL)
opened = collections.Collections(Path({str(tmp_path)!r}) / "vector" / "collections")
{DEATHS[when]}
opened.attach("c", Path({str(tmp_path)!r}) / "made" / "c")
"""
    dying = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await dying.wait() == -signal.SIGKILL
    process = VectorProcess(tmp_path / "vector", tmp_path / "log")
    await process.start()
    assert ("c" in await process.info()) == (when != "before the move")
    await process.attach("c", tmp_path / "made" / "c")  # makes sure
    assert (await process.info())["c"].points == 20
    await process.stop()


async def test_a_kill_of_the_process_that_is_asked_is_an_error_and_the_call_can_be_made_again(
    process: VectorProcess, builder: VectorProcess
) -> None:
    await fill(builder, "new", range(50))
    await builder.stop()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    attaching = asyncio.create_task(process.attach("new", builder.collection("new")))
    await asyncio.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(RetrievalUnavailable):
        await attaching
    with pytest.raises(RetrievalUnavailable):
        await process.attach("new", builder.collection("new"))  # it is being started
    while process.restarts == 0:
        await asyncio.sleep(0.02)
    await process.attach("new", builder.collection("new"))
    assert await count(process, "new") == 50


async def test_a_process_that_hangs_is_killed_and_started_again(tmp_path: Path) -> None:
    told: list[int] = []
    process = VectorProcess(
        tmp_path / "vector", tmp_path / "log", check_every=0.2, check_timeout=2, on_restart=lambda: told.append(1)
    )
    await process.start()
    await fill(process, "c", range(20))
    hung = process.pid
    assert hung is not None
    await asyncio.sleep(1)
    assert (process.pid, process.restarts) == (hung, 0), "it answers"
    os.kill(hung, signal.SIGSTOP)
    async with asyncio.timeout(60):
        while process.restarts == 0:
            await asyncio.sleep(0.02)
    assert process.pid != hung
    assert len(told) == process.restarts == 1
    assert await count(process, "c") == 20
    await process.stop()
    assert "c" not in await asyncio.to_thread(os.listdir, tmp_path / "vector")


async def test_a_loop_that_stood_still_itself_does_not_take_its_process_for_hung(tmp_path: Path) -> None:
    process = VectorProcess(tmp_path / "vector", tmp_path / "log", check_every=0.05, check_timeout=0.2)
    await process.start()
    for _ in range(5):
        await asyncio.sleep(0.06)
        time.sleep(0.4)  # noqa: ASYNC251 - that is what is tested
    await asyncio.sleep(0.3)
    restarts = process.restarts
    await process.stop()
    assert restarts == 0


async def test_writes_since_the_last_optimising_are_counted(process: VectorProcess) -> None:
    await fill(process, "c", range(1500))
    assert (await process.info())["c"].unoptimised == 1500
    client = connect(process)
    await client.delete("c", [1, 2, 3], wait=True)
    await client.close()
    assert (await process.info())["c"].unoptimised == 1501
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    while process.restarts == 0:
        await asyncio.sleep(0.02)
    info = (await process.info())["c"]
    assert (info.points, info.unoptimised) == (1497, 1500), "a crash forgets the last thousand at most"
    await process.stop()
    await process.optimize("c")
    await process.start()
    assert (await process.info())["c"].unoptimised == 0


async def test_optimising_says_what_keeps_it_from_it(process: VectorProcess, tmp_path: Path) -> None:
    other = VectorProcess(tmp_path / "vector", tmp_path / "other.log")
    with pytest.raises(DataFolderInUse):
        await other.optimize("c")
    await process.stop()
    with pytest.raises(RetrievalUnavailable, match=r"other\.log"):
        await other.optimize("c")
    assert "Collection `c` doesn't exist" in (tmp_path / "other.log").read_text()
