"""A gateway that is killed: what it had told stays used, and what it had set aside is free after its lease."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.processes import gone
from tests.support.stores import budget_worker
from tests.support.stores.budget_worker import LEASE, MOST, opened
from tests.support.stores.postgres_server import PostgresServer
from trivet.errors import BudgetExceeded
from trivet.types.budget import Use

pytestmark = pytest.mark.process


async def test_what_a_killed_gateway_had_set_aside_is_free_after_its_lease(postgres: PostgresServer) -> None:
    where = postgres.new_database()
    command = (sys.executable, str(Path(budget_worker.__file__)), where)
    worker = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert worker.stdout is not None
        assert int(await worker.stdout.readline()) == MOST
        budgets = opened(where)
        with pytest.raises(BudgetExceeded) as refused:
            await budgets.reserve("acme", "", Use(1))
        assert refused.value.retry_after <= 1  # the window has not to end: it is only held
    finally:
        worker.kill()
        await worker.wait()
    assert gone(worker.pid)
    killed = time.monotonic()
    granted = 0
    while granted < MOST - 3 and time.monotonic() < killed + 3 * LEASE:
        try:
            budgets.settle(await budgets.reserve("acme", "", Use(1)), Use(1))
            granted += 1
        except BudgetExceeded:
            await asyncio.sleep(0.1)
    assert granted == MOST - 3  # three had ended before, and were told
    with pytest.raises(BudgetExceeded) as refused:
        await budgets.reserve("acme", "", Use(1))
    assert refused.value.retry_after > 1
    await budgets.close()
