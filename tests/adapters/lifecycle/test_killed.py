"""Killed with -9 at random moments of loads and replacements: the desired state is whole, never half."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import pytest

from benchmarks.killed_gateway.desired import Desired, Order
from tests.support.adapters import killed_manager
from tests.support.adapters.killed_manager import open_manager, settled
from tests.support.engine.tiny_model import adapter_files
from trivet.testing.adapters import digest, write_adapter
from trivet.types.adapter import AdapterState

CHILD = Path(killed_manager.__file__)
ORDERS = 100
NAMES = ("tone", "voice", "style")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(NAMES):
        for version in ("1", "2"):
            write_adapter(tmp_path / "root" / name / version, adapter_files(10 * seed + int(version)))
    return tmp_path


def live_and_be_killed(folder: Path, base: Path, seed: int, seconds: float, desired: Desired) -> None:
    """Run the child for so long, kill it, and note what it said."""
    arguments = [sys.executable, str(CHILD), str(folder), str(base), str(seed)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "start\n"
        time.sleep(seconds)
        child.kill()
        for line in child.stdout:
            if line.endswith("\n"):  # the last one may be cut
                word, order, ref = line.split()
                (desired.begin if word == "begin" else desired.done)(cast(Order, order), ref)


@pytest.mark.process
async def test_a_hundred_loads_and_replacements(folder: Path, tiny_model: Path) -> None:
    chance, desired, kills = random.Random(11), Desired(), 0
    digests = {
        f"{name}@{version}": digest(folder / "root" / name / version) for name in NAMES for version in ("1", "2")
    }
    while sum(desired.orders.values()) < ORDERS or kills < 8:
        kills += 1
        await asyncio.to_thread(live_and_be_killed, folder, tiny_model, kills, chance.uniform(0.0, 2.0), desired)
        manager, engine = open_manager(folder, tiny_model)
        await settled(manager)
        statuses = manager.statuses()
        requested = {str(status.ref) for status in statuses if status.requested}
        assert desired.settle(requested) == []
        assert {str(status.ref): status.digest for status in statuses} == {ref: digests[ref] for ref in requested}
        assert {status.state for status in statuses} <= {AdapterState.READY}
        assert len(engine.resident) == min(2, len(statuses))
        copies = {path.name: digest(path) for path in (folder / "staged").iterdir()}
        assert copies == {status.engine_name: status.digest for status in statuses}
        await manager.close()
