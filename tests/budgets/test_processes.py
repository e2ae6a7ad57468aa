"""Limits that gateways in processes of their own hold requests against, over one store."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stores import budget_spender
from trivet.stores.state import StateStore
from trivet.types.budget import Period, Unit

pytestmark = pytest.mark.process


async def test_eight_clients_of_two_processes_exceed_a_limit_by_one_request_at_most(state_place: Path | str) -> None:
    unit, most = Unit.TOKENS, 40_000
    StateStore.open(state_place).close()
    workers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, str(Path(budget_spender.__file__))),
            *(str(state_place), unit.value, str(most), "4", str(10 * number)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in range(2)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert await worker.stdout.readline() == b"ready\n"
    told = await asyncio.gather(*(worker.communicate(b"\n") for worker in workers))
    by_process = [json.loads(out) for out, _ in told]
    used = [amount for found in by_process for amount in found]
    assert all(by_process), "each had some of it"
    assert most <= sum(used) < most + max(used)
    store = StateStore.open(state_place)
    counted = await store.budget_usage(budget_spender.limit(unit, most).id, Period.MONTH.window(await store.now())[0])
    store.close()
    assert counted == (sum(used), 0)  # what was refused is in it with nothing
