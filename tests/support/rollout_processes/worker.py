"""A gateway's part of control in a process of its own, for the tests that kill and stop it. Seconds last 50 ms."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path

from tests.support.rollout_world import ROUTE, SPEC, Clock, Gateway
from trivet.rollouts.control.timing import Timing
from trivet.stores.state import StateStore
from trivet.types.rollout import Arm

FASTER = 20
LEASE_SECONDS = 0.5
GOOD: Mapping[Arm, float] = {Arm.STABLE: 0.0, Arm.CANDIDATE: 0.0}
BAD: Mapping[Arm, float] = {Arm.STABLE: 0.0, Arm.CANDIDATE: 0.6}
BAD_DIGEST = "bad"
_A_BURST = 10
_BETWEEN = 0.01


@dataclass
class FastClock(Clock):
    """The machine's, whose seconds of sleep are shorter."""

    skew: float = 0.0

    @property
    def timing(self) -> Timing:
        return Timing(lambda: time.monotonic() + self.skew, lambda seconds: asyncio.sleep(seconds / FASTER))


class Worker(Gateway):
    """It has whatever spec the route's rollout has."""

    async def serve(self, seed: int) -> None:
        """Requests, and everything that runs beside them, until the process is killed."""
        async with asyncio.TaskGroup() as group:
            for part in (self.recorder, self.follower, self.controller):
                group.create_task(part.run())
            group.create_task(self._requests(random.Random(seed)))
            group.create_task(_until_the_parent_ends())

    async def _requests(self, draws: random.Random) -> None:
        while True:
            for _ in range(_A_BURST):
                record = self.follower.records.get(ROUTE)
                if record is not None:
                    self.routes.digest = record.spec_digest
                    self.clock.now = self.clock.timing.monotonic()
                    broken = BAD if record.spec_digest == BAD_DIGEST else GOOD
                    self.answer(f"unit-{draws.randrange(2000)}", f"{draws.getrandbits(64):x}", broken, draws)
            await asyncio.sleep(_BETWEEN)


async def _until_the_parent_ends() -> None:
    """A test that is killed leaves no process behind."""
    parent = parent_process()
    assert parent is not None
    while parent.is_alive():
        await asyncio.sleep(1)
    os._exit(1)


def work(where: Path | str, name: str, folder: Path, seed: int, skew: float = 0.0) -> None:
    """What the process does. `skew`: by how many seconds its clock is off."""
    store = StateStore.open(where)
    worker = Worker(name, store, FastClock(skew=skew), SPEC, folder, lease_seconds=LEASE_SECONDS)
    asyncio.run(worker.serve(seed))
