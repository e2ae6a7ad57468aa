"""Processes that are killed, stopped or in each other's way: nothing half, nothing twice, nothing lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.processes import gone
from tests.support.stores.state_worker import LEASE_SECONDS
from trivet.stores.state import StateStore
from trivet.types.rollout_state import RolloutRecord, StoredBatch, Transition

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]
WORKER = Path(__file__).parents[2] / "support" / "stores" / "state_worker.py"
KILLS = 30


class Workers:
    """Starts workers on a store, and ends them all at its own end."""

    def __init__(self, where: Path | str) -> None:
        self._where = where
        self._parent = subprocess.Popen(
            [sys.executable, WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._started: list[int] = []

    def start(self, kind: str, log: Path) -> int:
        """The process id of a new one."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(f"{log} {self._where} {kind} support\n")
        self._parent.stdin.flush()
        self._started.append(int(self._parent.stdout.readline()))
        return self._started[-1]

    def kill(self, worker: int) -> None:
        """As a machine that loses its power does."""
        self._started.remove(worker)
        os.kill(worker, signal.SIGKILL)
        assert gone(worker)

    def close(self) -> None:
        """End them all."""
        for worker in [*self._started]:
            self.kill(worker)
        self._parent.communicate()


@pytest.fixture
def workers(state_place: Path | str) -> Iterator[Workers]:
    started = Workers(state_place)
    yield started
    started.close()


@pytest.fixture
async def store(state_place: Path | str) -> AsyncIterator[StateStore]:
    """With one rollout, of the route `support`."""
    opened = StateStore.open(state_place)
    await opened.create("support", "d", "{}", actor="anna", reason="go")
    yield opened
    opened.close()


def lines(log: Path, word: str) -> list[int]:
    """The first number of each whole line that begins with the word."""
    if not log.exists():
        return []
    whole = log.read_text().rpartition("\n")[0].splitlines()
    return [int(line.split()[1]) for line in whole if line.startswith(f"{word} ")]


def until(log: Path, word: str, count: int = 1, seconds: float = 60) -> None:
    """Wait for so many lines."""
    end = time.monotonic() + seconds
    while len(lines(log, word)) < count:
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.005)


async def checked(store: StateStore) -> tuple[RolloutRecord, list[Transition]]:
    """The rollout and its audit log, which tell one story."""
    record = (await store.current())["support"]
    log: list[Transition] = []
    while some := await store.transitions("support", log[-1].revision if log else 0):
        log += some
    log = [entry for entry in log if entry.revision <= record.revision]  # others may have gone on since
    assert [entry.revision for entry in log] == list(range(1, len(log) + 1)), "revisions without a hole or a double"
    assert (log[-1].revision, log[-1].to_state, log[-1].share) == (record.revision, record.state, record.share)
    assert all(one.to_state == two.from_state for one, two in pairwise(log))
    return record, log


async def test_a_process_killed_in_a_transition_leaves_it_whole_or_not_at_all(
    store: StateStore, workers: Workers, tmp_path: Path
) -> None:
    chance, log = random.Random(7), tmp_path / "log"
    other = workers.start("move", tmp_path / "other")
    until(tmp_path / "other", "ready")
    for _ in range(KILLS):
        before = len(lines(log, "moved"))
        worker = workers.start("move", log)
        until(log, "moved", before + chance.randrange(1, 8))
        await asyncio.sleep(chance.random() * 0.02)
        workers.kill(worker)
    workers.kill(other)
    moved = lines(log, "moved")
    assert len(moved) >= KILLS
    _, entries = await checked(store)
    assert {*moved, *lines(tmp_path / "other", "moved")} <= {entry.revision for entry in entries}, "none is lost"


async def test_a_process_killed_in_a_flush_leaves_each_batch_whole_and_once(
    store: StateStore, workers: Workers, tmp_path: Path
) -> None:
    chance, expected = random.Random(8), {}
    for number in range(KILLS):
        log = tmp_path / f"log{number}"
        worker = workers.start("append", log)
        until(log, "sent", chance.randrange(1, 6))
        await asyncio.sleep(chance.random() * 0.02)
        workers.kill(worker)
        expected[str(worker)] = (lines(log, "stored"), lines(log, "sent"))
    record = (await store.current())["support"]
    found: list[StoredBatch] = []
    while some := await store.batches(record.id, found[-1].number if found else 0):
        found += some
    assert [item.number for item in found] == list(range(1, record.batches + 1))
    for epoch, (stored, sent) in expected.items():
        numbers = [item.batch.seq for item in found if item.batch.epoch == epoch]
        assert numbers == sorted(set(numbers)), "each once, in order"
        assert set(stored) <= set(numbers) <= set(sent), "all that was acknowledged, and nothing that was not sent"
    assert all(item.batch.data == f"{item.batch.seq}".encode() for item in found)


async def test_two_writers_lose_none_of_each_others_transitions(
    store: StateStore, workers: Workers, tmp_path: Path
) -> None:
    logs = [tmp_path / "one", tmp_path / "two"]
    started = [workers.start("move", log) for log in logs]
    for log in logs:
        until(log, "moved", 25)
    for worker in started:
        workers.kill(worker)
    one, two = (lines(log, "moved") for log in logs)
    assert set(one).isdisjoint(two)
    _, entries = await checked(store)
    assert {*one, *two} <= {entry.revision for entry in entries}
    assert len({entry.actor for entry in entries}) == 3


@pytest.mark.parametrize("state_place", ["postgresql"], indirect=True)
async def test_a_leader_that_was_stopped_for_three_leases_is_refused_when_it_goes_on(
    store: StateStore, workers: Workers, tmp_path: Path
) -> None:
    """Of PostgreSQL alone: a file has one gateway, and one that is stopped in a transaction keeps the file's lock."""
    first, second = tmp_path / "first", tmp_path / "second"
    for _ in range(3):
        stopped = workers.start("lead", first)
        until(first, "led", 1 + len(lines(first, "led")))
        os.kill(stopped, signal.SIGSTOP)
        other = workers.start("lead", second)
        until(second, "led", 5 + len(lines(second, "led")))
        await asyncio.sleep(3 * LEASE_SECONDS)
        before = len(lines(first, "led"))
        os.kill(stopped, signal.SIGCONT)
        until(second, "led", 5 + len(lines(second, "led")))
        assert len(lines(first, "led")) <= before + 1, "at most the one whose answer it had not read"
        workers.kill(stopped)
        workers.kill(other)
    await one_leader_at_a_time(store, owners=6)


async def test_leaders_killed_at_random_moments_leave_one_story(
    store: StateStore, workers: Workers, tmp_path: Path
) -> None:
    chance, log = random.Random(9), tmp_path / "log"
    started = [workers.start("lead", log) for _ in range(3)]
    for _ in range(KILLS):
        until(log, "led", 1 + len(lines(log, "led")))
        await asyncio.sleep(chance.random() * 0.05)
        workers.kill(started.pop(chance.randrange(3)))
        started.append(workers.start("lead", log))
    until(log, "led", 1 + len(lines(log, "led")))
    await one_leader_at_a_time(store, owners=3)


async def one_leader_at_a_time(store: StateStore, owners: int) -> None:
    _, entries = await checked(store)
    led = entries[1:]
    fences = [entry.fence for entry in led]
    assert fences == sorted(fences), "never an older owner after a newer one"
    assert len(set(fences)) >= owners
    assert len({(entry.fence, entry.actor) for entry in led}) == len(set(fences)), "one owner for each fence"
