"""The child of `test_killed.py`: real staging and real books over a scripted engine, and a line for each order.

    python killed_manager.py FOLDER BASE SEED

Loads, unloads and replaces at random until it is killed. It prints `start` before it opens anything, before each order
`begin ORDER REF`, and when it was acknowledged `done ORDER REF`: so the parent knows which desired states there may be.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.lifecycle.settings import LifecycleSettings
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.stores.state import StateStore
from trivet.testing import ScriptedBackend
from trivet.types.adapter import AdapterState
from trivet.types.variant import VersionRef


def open_manager(folder: Path, base: Path) -> tuple[AdapterManager, ScriptedBackend]:
    """A manager over a folder with `root`, which holds the adapters."""
    settings = AdapterSettings((folder / "root",), folder / "staged", base, 16)
    backend = ScriptedBackend()
    desired = StateStore.open(folder / "state.sqlite").desired_adapters
    manager = AdapterManager(
        AdapterStaging(settings), backend, AdapterDemand(), desired, LifecycleSettings(host_places=2)
    )
    return manager, backend


async def settled(manager: AdapterManager) -> None:
    """Everything that was requested is ready."""
    await manager.reconcile()
    async with asyncio.timeout(60):
        while any(status.state is not AdapterState.READY for status in manager.statuses()):
            await asyncio.sleep(0.005)


async def main(folder: Path, base: Path, chance: random.Random) -> None:
    """Order until killed."""
    print("start", flush=True)
    manager, _ = open_manager(folder, base)
    await settled(manager)
    requested = {status.ref for status in manager.statuses()}
    names = sorted(path.name for path in (folder / "root").iterdir())

    async def order(kind: str, ref: VersionRef) -> None:
        print("begin", kind, ref, flush=True)
        await (manager.load(ref) if kind == "load" else manager.unload(ref))
        print("done", kind, ref, flush=True)

    async def replace(name: str) -> None:
        """The other version comes before this one goes, as an operator would do it."""
        old, new = (VersionRef(name, version) for version in chance.sample(("1", "2"), 2))
        if new not in requested:
            await order("load", new)
            requested.add(new)
        if old in requested:
            await order("unload", old)
            requested.remove(old)

    while True:
        await asyncio.gather(*[replace(name) for name in chance.sample(names, 2)])


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), random.Random(int(sys.argv[3]))))
