"""The vector process's life: its folder, its parent, its death."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient

from tests.support.processes import gone
from tests.support.retrieval.vector_client import connect, create, points
from trivet.errors import DataFolderInUse, RetrievalUnavailable
from trivet.stores.vector_child import VectorChild
from trivet.stores.vector_process import VectorProcess

pytestmark = pytest.mark.process


async def until_restarted(process: VectorProcess, restarts: int = 1) -> None:
    async with asyncio.timeout(60):
        while process.restarts < restarts:
            await asyncio.sleep(0.02)


async def test_a_kill_in_the_middle_of_writes_keeps_every_acknowledged_one(process: VectorProcess) -> None:
    client = connect(process)
    await create(client, "c")
    acknowledged: set[int] = set()

    async def write(first: int) -> None:
        for number in range(first, first + 100_000, 2):
            await client.upsert("c", points([number * 2, number * 2 + 1]), wait=True)
            acknowledged.update((number * 2, number * 2 + 1))

    writers = [asyncio.create_task(write(first)) for first in (0, 1_000_000, 2_000_000, 3_000_000)]
    while len(acknowledged) < 200:
        await asyncio.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    results = await asyncio.gather(*writers, return_exceptions=True)
    assert all(isinstance(result, Exception) for result in results)
    await client.close()
    await until_restarted(process)
    survivor = connect(process)
    found = await survivor.retrieve("c", sorted(acknowledged), with_payload=True)
    everything = (await survivor.count("c")).count
    await survivor.close()
    assert {point.id for point in found} == acknowledged
    assert all(point.payload is not None and point.payload["number"] == point.id for point in found)
    assert everything <= len(acknowledged) + 2 * len(writers), "at most what was in flight is there besides"
    assert everything % 2 == 0, "a message of two points is written whole or not at all"


async def test_a_clean_stop_keeps_everything_and_frees_the_folder(tmp_path: Path) -> None:
    for expected in (0, 10):
        process = VectorProcess(tmp_path / "vector", tmp_path / "log")
        await process.start()
        client = connect(process)
        if expected:
            assert (await client.count("c")).count == expected
        else:
            await create(client, "c")
            await client.upsert("c", points(range(10)), wait=True)
        await client.close()
        await process.stop()
        assert not process.up
        assert process.restarts == 0


async def test_a_restart_for_which_nothing_is_left_is_tried_again(
    process: VectorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn, refused = VectorChild.spawn, [OSError(errno.EMFILE, "Too many open files"), ValueError("no JSON")]

    async def busy(*arguments: Any, **options: Any) -> VectorChild:
        if refused:
            raise refused.pop()
        return await spawn(*arguments, **options)

    monkeypatch.setattr(VectorChild, "spawn", busy)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    await until_restarted(process)
    assert process.up


async def test_a_second_owner_is_refused_with_the_first_ones_pid(process: VectorProcess, tmp_path: Path) -> None:
    second = VectorProcess(tmp_path / "vector", tmp_path / "second.log")
    with pytest.raises(DataFolderInUse) as refused:
        await second.start()
    assert refused.value.pid == process.pid
    assert not second.up
    await second.stop()
    command = (sys.executable, "-m", "trivet.vector", "--data", str(tmp_path / "vector"))
    by_hand = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    _, errors = await by_hand.communicate()
    assert by_hand.returncode == 3
    assert str(process.pid) in errors.decode()
    assert process.up


async def test_it_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = f"""
        import asyncio, pathlib
        from trivet.stores.vector_process import VectorProcess
        async def main():
            process = VectorProcess(pathlib.Path({str(tmp_path)!r}) / "vector", pathlib.Path({str(tmp_path)!r}) / "log")
            await process.start()
            print(process.pid, flush=True)
            await asyncio.sleep(600)
        asyncio.run(main())
    """
    command = (sys.executable, "-c", textwrap.dedent(program))
    parent = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    assert not gone(child, within=0)
    parent.kill()
    await parent.wait()
    assert await asyncio.to_thread(gone, child)


def test_it_ends_cleanly_when_its_stdin_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trivet.vector", "--data", str(tmp_path / "vector")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert b'"serving"' in process.stdout.readline()
        process.stdin.close()
        assert process.wait(10) == 0


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "192.0.2.1:7000", "127.0.0.1", "example.org:1"])
def test_it_listens_on_loopback_only(listen: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trivet.vector", "--data", str(tmp_path / "vector"), "--listen", listen]
    assert subprocess.run(command, stdin=subprocess.PIPE, capture_output=True, timeout=30).returncode == 2


async def test_it_is_started_again_each_time_it_dies(process: VectorProcess, client: AsyncQdrantClient) -> None:
    await create(client, "c")
    await client.upsert("c", points(range(5)), wait=True)
    for death in (1, 2):
        before = process.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await until_restarted(process, death)
        assert process.up
        assert process.pid != before
        again = connect(process)
        assert (await again.count("c")).count == 5
        await again.close()


async def test_stopping_does_not_wait_for_ever_for_a_process_that_hangs(tmp_path: Path) -> None:
    process = VectorProcess(tmp_path / "vector", tmp_path / "log", stop_timeout=0.5)
    await process.start()
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    await process.stop()
    assert time.monotonic() - started < 20
    assert gone(pid)


async def test_a_folder_that_cannot_be_used_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "vector").mkdir()
    (tmp_path / "vector" / "collections").write_text("a file where a folder should be")
    process = VectorProcess(tmp_path / "vector", tmp_path / "vector.log")
    with pytest.raises(RetrievalUnavailable, match=r"vector\.log"):
        await process.start()
    assert not process.up
    await process.stop()


async def test_a_write_whose_client_gave_up_is_not_done_later(
    process: VectorProcess, client: AsyncQdrantClient
) -> None:
    await create(client, "c")
    await client.upsert("c", points([1]), wait=True)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.upsert("c", points([2]), wait=True)
        await asyncio.sleep(0.2)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    await client.upsert("c", points([3]), wait=True)
    assert {point.id for point in (await client.scroll("c"))[0]} == {1, 3}


async def test_half_created_and_half_deleted_collections_are_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / "vector" / "collections" / "~deadbeef"
    left.mkdir(parents=True)
    (left / "edge_config.json").write_text("{")
    process = VectorProcess(tmp_path / "vector", tmp_path / "log")
    await process.start()
    client = connect(process)
    assert (await client.get_collections()).collections == []
    await client.close()
    await process.stop()
    assert not left.exists()
