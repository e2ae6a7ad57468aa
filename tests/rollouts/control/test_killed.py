"""Two gateways' control in two processes over one store, whose leader is killed and stopped at random moments."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.rollout_processes.pair import Pair, judged_right
from tests.support.stores.postgres_server import PostgresServer

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]
KILLS = 20  # `python -m benchmarks.leader_kills` makes 200


@pytest.fixture
async def pair(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Pair]:
    made = Pair(postgres.new_database(), tmp_path)
    yield made
    made.close()


async def test_a_leader_killed_at_random_moments_loses_doubles_and_halves_nothing(pair: Pair) -> None:
    chance = random.Random(11)
    for name in ("g0", "g1"):
        pair.start(name)
    for _ in range(KILLS):
        await pair.running()
        await asyncio.sleep(chance.random() * 1.2)
        leader = pair.leader() or "g0"
        pair.kill(leader)
        pair.start(leader)
    records = await pair.ended(4)
    judged_right(records)
    log = await pair.checked()
    assert len({entry.fence for entry in log if entry.fence}) > 2, "several have led"


async def test_a_leader_stopped_for_three_leases_decides_nothing_any_more(pair: Pair) -> None:
    for name in ("g0", "g1"):
        pair.start(name)
    await pair.ended(1)
    await pair.stop_the_leader()
    judged_right(await pair.ended(3))
    await pair.checked()


async def test_a_clock_that_is_off_by_ten_minutes_decides_nothing(pair: Pair) -> None:
    pair.skew["g1"] = -600.0
    for name in ("g0", "g1"):
        pair.start(name)
    judged_right(await pair.ended(2))
    await pair.checked()
