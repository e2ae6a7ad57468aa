"""Killed with -9 at random moments of loads and replacements: the desired state is whole, never half."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

import killed_manager
from killed_manager import open_manager, settled
from tiny_model import adapter_files
from trivet.testing.adapters import digest, write_adapter
from trivet.types.adapter import AdapterState

CHILD = Path(killed_manager.__file__)
ORDERS = 100
NAMES = ("tone", "voice", "style")


class Desired:
    """What may be wished after a kill: what was acknowledged, and either way what was under way."""

    def __init__(self) -> None:
        self.certain: set[str] = set()
        self.open: set[str] = set()
        self.begun = 0

    def read(self, line: str) -> None:
        """One line of the child."""
        word, kind, ref = line.split()
        if word == "begin":
            self.begun += 1
            self.open.add(ref)
            return
        self.open.remove(ref)
        (self.certain.add if kind == "load" else self.certain.discard)(ref)

    def check(self, wished: set[str]) -> None:
        """Raises AssertionError for anything but a whole state; from here on that one is certain."""
        assert self.certain - self.open <= wished <= self.certain | self.open
        self.certain, self.open = wished, set()


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
                desired.read(line)


async def test_a_hundred_loads_and_replacements(folder: Path, tiny_model: Path) -> None:
    chance, desired, kills = random.Random(11), Desired(), 0
    digests = {
        f"{name}@{version}": digest(folder / "root" / name / version) for name in NAMES for version in ("1", "2")
    }
    while desired.begun < ORDERS or kills < 8:
        kills += 1
        await asyncio.to_thread(live_and_be_killed, folder, tiny_model, kills, chance.uniform(0.0, 2.0), desired)
        manager, engine = open_manager(folder, tiny_model)
        await settled(manager)
        statuses = manager.statuses()
        desired.check({str(status.ref) for status in statuses if status.requested})
        assert {str(status.ref): status.digest for status in statuses} == {ref: digests[ref] for ref in desired.certain}
        assert {status.state for status in statuses} <= {AdapterState.READY}
        assert len(engine.resident) == min(2, len(statuses))
        copies = {path.name: digest(path) for path in (folder / "staged").iterdir()}
        assert copies == {status.engine_name: status.digest for status in statuses}
        await manager.close()
