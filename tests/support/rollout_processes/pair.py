"""Two gateways' control in two processes over one store, of which the one that leads can be killed and stopped."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path

import psycopg

from tests.support.rollout_processes.worker import BAD_DIGEST, LEASE_SECONDS, work
from tests.support.rollout_world import ROUTE, SPEC
from trivet.rollouts.control.audit import repeat
from trivet.rollouts.control.records import move_to, position_of, spec_of
from trivet.rollouts.spec_json import to_json
from trivet.rollouts.states import Event, apply
from trivet.stores.state import StateStore
from trivet.types.rollout import ENDED
from trivet.types.rollout_state import RolloutRecord, Transition

LEASES = 3  # for so long a stopped leader stays so
_PROCESSES = multiprocessing.get_context("forkserver")


class Pair:
    """Two workers and a store, on which one rollout follows the other, in turn a good and a bad one."""

    def __init__(self, url: str, folder: Path) -> None:
        _PROCESSES.set_forkserver_preload(["tests.support.rollout_processes.worker"])
        self.store = StateStore.open(url)
        self._url = url
        self._folder = folder
        self._seed = 0
        self.skew = {"g0": 0.0, "g1": 0.0}
        self.workers: dict[str, BaseProcess] = {}

    def start(self, name: str) -> None:
        self._seed += 1
        arguments = (self._url, name, self._folder, self._seed, self.skew[name])
        self.workers[name] = _PROCESSES.Process(target=work, args=arguments, daemon=True)
        self.workers[name].start()

    def kill(self, name: str) -> None:
        self.workers[name].kill()
        self.workers[name].join()

    def leader(self) -> str | None:
        """Whoever holds the lease, expired or not."""
        with psycopg.connect(self._url) as connection:
            row = connection.execute("SELECT owner FROM lease WHERE name = 'rollouts'").fetchone()
        name = "" if row is None else str(row[0]).partition("/")[0]  # the rest tells one process from the next
        return name if name in self.workers else None

    async def running(self) -> RolloutRecord:
        """The rollout that goes on; the next one, if the last has ended."""
        record = (await self.store.current()).get(ROUTE)
        if record is not None and record.state not in ENDED:
            return record
        bad = record is not None and record.spec_digest != BAD_DIGEST
        digest = BAD_DIGEST if bad else "good"
        made = await self.store.create(ROUTE, digest, to_json(SPEC), actor="anna", reason="next", restart=True)
        started = apply(position_of(made), Event.START, spec_of(made), await self.store.now())
        return await self.store.move(made.id, made.revision, move_to(started, "start", "by_hand", "go", "anna"))

    async def until(self, holds: Callable[[], Awaitable[bool]], seconds: float = 90) -> None:
        end = time.monotonic() + seconds
        while not await holds():
            assert time.monotonic() < end, (await self.store.current()).get(ROUTE)
            await asyncio.sleep(0.02)

    async def ended(self, count: int) -> list[RolloutRecord]:
        """Once so many rollouts have ended."""
        found: list[RolloutRecord] = []

        async def enough() -> bool:
            await self.running()
            found[:] = [record for record in await self.store.history(ROUTE, 1000) if record.state in ENDED]
            return len(found) >= count

        await self.until(enough)
        return found

    async def checked(self) -> list[Transition]:
        """The audit log, which is whole, and whose every decision can be made again."""
        log: list[Transition] = []
        while some := await self.store.transitions(ROUTE, log[-1].revision if log else 0):
            log += some
        assert [entry.revision for entry in log] == list(range(1, len(log) + 1)), "no hole, no double"
        for one, two in pairwise(log):
            assert (one.rollout == two.rollout) == (two.event != "create")
            assert two.event == "create" or (one.to_state, one.to_step) == (two.from_state, two.from_step)
        fences = [entry.fence for entry in log if entry.fence]
        assert fences == sorted(fences)
        for entry in log:
            if entry.fence:
                again = repeat(entry)
                assert again.event is not None
                assert (again.event.value, again.message) == (entry.event, entry.message)
                assert json.loads(entry.evidence)["position"]["state"] == entry.from_state
        return log

    async def stop_the_leader(self) -> None:
        """Until another leads, and some leases longer."""
        leader = self.leader()
        assert leader is not None
        pid = self.workers[leader].pid
        assert pid is not None

        async def passed_on() -> bool:
            return self.leader() not in (None, leader)

        os.kill(pid, signal.SIGSTOP)
        try:
            await self.until(passed_on)
            await asyncio.sleep(LEASES * LEASE_SECONDS)
        finally:
            os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        for worker in self.workers.values():
            worker.kill()
            worker.join()
        self.store.close()


def judged_right(records: list[RolloutRecord]) -> None:
    """Bad candidates went back, and no others."""
    for record in records:
        expected = "rolled_back" if record.spec_digest == BAD_DIGEST else "promoted"
        assert record.state == expected, (record.spec_digest, record.message)
