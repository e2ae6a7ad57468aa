"""A manager of adapters with its folders and its books, over an engine that only keeps books."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine.tiny_model import adapter_files
from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.lifecycle.settings import LifecycleSettings
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.errors import BackendUnavailable
from trivet.stores.state import StateStore
from trivet.testing.adapters import write_adapter
from trivet.types.adapter import AdapterState, AdapterStatus, AdapterTier, StagedAdapter
from trivet.types.generation import BackendRequest, Chunk
from trivet.types.variant import VersionRef

REF = VersionRef("tone", "1")
OTHER = VersionRef("voice", "1")


class EngineFake:
    """A backend that only keeps books. `gate` holds loads up and `exit` unloads, `refusal` fails loads.

    What is `in_use` must not be taken out.
    """

    name = "fake"
    block_size = 16
    context_tokens = 128
    salts_after_prefix = False
    keeps_prefixes = True

    def __init__(self) -> None:
        self.ready = True
        self.incarnation = 1
        self.resident: list[str] = []
        self.calls: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.exit = asyncio.Event()
        self.exit.set()
        self.refusal: Exception | None = None
        self.in_use: Counter[str] = Counter()
        self.faults: list[str] = []

    def schema_known(self, schema: Mapping[str, Any], owner: str) -> bool:
        raise NotImplementedError

    async def admit_schema(self, schema: Mapping[str, Any], owner: str) -> None:
        raise NotImplementedError

    def generate(self, request: BackendRequest) -> AsyncGenerator[Chunk, None]:
        raise NotImplementedError

    async def load_adapter(self, adapter: StagedAdapter) -> None:
        self.calls.append(f"load {adapter.engine_name}")
        life = self.incarnation
        await self.gate.wait()
        if not self.ready or life != self.incarnation:
            raise BackendUnavailable("the engine is dead")
        if self.refusal:
            raise self.refusal
        if not (adapter.path / "adapter_model.safetensors").exists():
            self.faults.append(f"{adapter.engine_name} has no copy")
        if adapter.engine_name not in self.resident:
            self.resident.append(adapter.engine_name)

    async def unload_adapter(self, engine_name: str) -> None:
        self.calls.append(f"unload {engine_name}")
        await self.exit.wait()
        if self.in_use[engine_name] and engine_name in self.resident:
            self.faults.append(f"{engine_name} was in use")
        if engine_name in self.resident:
            self.resident.remove(engine_name)

    def die(self) -> None:
        """What it held is gone."""
        self.ready = False
        self.resident.clear()

    def restart(self) -> None:
        """A new life, empty."""
        self.die()
        self.incarnation += 1
        self.ready = True

    def verbs(self) -> list[str]:
        """What was asked of it, in order."""
        return [call.split()[0] for call in self.calls]


class House:
    """Managers over one data folder, one after another, and their engine."""

    def __init__(self, tmp_path: Path, base: Path) -> None:
        self.root = tmp_path / "root"
        write_adapter(self.root / "tone" / "1", adapter_files(1))
        write_adapter(self.root / "voice" / "1", adapter_files(2))
        self.settings = AdapterSettings((self.root,), tmp_path / "staged", base, 16)
        self.database = tmp_path / "state.sqlite"
        self.demand = AdapterDemand()
        self.wanted = self.demand.users
        self.engine = EngineFake()
        self.loads: list[str] = []
        self.lifecycle = LifecycleSettings(host_places=2, retry_first=0.01, retry_most=0.05)
        self.start()

    def start(self) -> None:
        """A manager that knows what is on the disk."""
        self.store = StateStore.open(self.database)
        self.manager = AdapterManager(
            AdapterStaging(self.settings),
            self.engine,
            self.demand,
            self.store.desired_adapters,
            self.lifecycle,
            lambda outcome, _: self.loads.append(outcome),
        )

    async def close(self) -> None:
        """The gateway ends."""
        await self.manager.close()
        self.store.close()

    async def restart(self) -> None:
        """The gateway ends and starts again."""
        await self.close()
        self.engine = EngineFake()
        self.start()

    def add(self, *refs: VersionRef) -> None:
        """More adapters, all of the same bytes."""
        for ref in refs:
            shutil.copytree(self.root / "tone" / "1", self.root / ref.name / ref.version)

    def rewrite(self, seed: int, name: str = "tone") -> None:
        """Other bytes under the same version."""
        self.remove(name)
        write_adapter(self.root / name / "1", adapter_files(seed))

    def remove(self, name: str) -> None:
        """Its source is gone."""
        shutil.rmtree(self.root / name / "1")

    def staged(self) -> list[str]:
        """The copies' names."""
        return sorted(path.name for path in self.settings.staging.iterdir())

    def status(self, ref: VersionRef) -> AdapterStatus:
        """Its line in the books."""
        found = {status.ref: status for status in self.manager.statuses()}
        return found.get(ref, AdapterStatus(ref, AdapterState.REGISTERED, AdapterTier.DISK))

    def state(self, ref: VersionRef) -> AdapterState:
        """Its state in the books."""
        return self.status(ref).state

    def damage(self, ref: VersionRef) -> None:
        """Other bytes in its copy."""
        (path,) = self.settings.staging.glob(f"{ref}#*/adapter_model.safetensors")
        path.chmod(0o644)
        path.write_bytes(b"x")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what happens in the background."""
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.01)

    async def refused(self, ref: VersionRef, error: type[Exception], match: str) -> None:
        """A request cannot have it."""
        with pytest.raises(error, match=match):
            async with self.manager.acquire(ref):
                pass

    @asynccontextmanager
    async def use(self, ref: VersionRef) -> AsyncIterator[str]:
        """A request's lease; taking its adapter out of the engine meanwhile is a fault."""
        async with self.manager.acquire(ref) as lease:
            assert lease is not None
            self.engine.in_use[lease.engine_name] += 1
            try:
                yield lease.engine_name
            finally:
                self.engine.in_use[lease.engine_name] -= 1
