"""Twelve tenants, an adapter each, over a real engine with room for three: every answer is its own adapter's."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

from tests.support.engine.fixtures import SESSION_ENGINE, collect, request, staged, text
from tests.support.engine.tiny_model import adapter_files
from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.lifecycle.settings import LifecycleSettings
from trivet.adapters.on_demand.adapters import OnDemandAdapters
from trivet.adapters.on_demand.settings import OnDemandSettings
from trivet.adapters.pins import AdapterPins
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.errors import BackendUnavailable
from trivet.stores.state import StateStore
from trivet.testing.adapters import write_adapter
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import BackendRequest
from trivet.types.variant import Sampling, VersionRef

pytestmark = SESSION_ENGINE
PROMPT = tuple(range(5, 70))
TENANTS = [f"tenant-{number}" for number in range(12)]
LENGTH = 12


async def test_every_answer_is_its_own_adapters_also_after_the_engine_was_killed(
    tiny_engine: EmbeddedVllm, tiny_model: Path, tiny_adapters: dict[str, StagedAdapter], tmp_path: Path
) -> None:
    alone: dict[str, str] = {}
    for number, tenant in enumerate(TENANTS):
        adapter = staged(write_adapter(tmp_path / "root" / tenant / "1", adapter_files(300 + number)))
        await tiny_engine.load_adapter(adapter)
        alone[tenant] = text(await collect(tiny_engine, request(PROMPT, adapter, max_tokens=LENGTH)))
        await tiny_engine.unload_adapter(adapter.engine_name)
    assert len(set(alone.values())) == len(TENANTS)

    settings = AdapterSettings((tmp_path / "root",), tmp_path / "staged", tiny_model, max_rank=8)
    staging, demand, store = AdapterStaging(settings), AdapterDemand(), StateStore.open(tmp_path / "state.sqlite")
    pins = await AdapterPins.open(tmp_path / "pins.sqlite")
    desired = store.desired_adapters
    manager = AdapterManager(staging, tiny_engine, demand, desired, LifecycleSettings(host_places=3), pins=pins)
    on_demand = OnDemandAdapters(manager, staging, demand, pins, OnDemandSettings(host_places=3))
    chance, wrong, refused = random.Random(7), [], 0
    killed = asyncio.Event()

    async def client(number: int) -> None:
        nonlocal refused
        for turn in range(16):
            tenant = TENANTS[min(int(chance.paretovariate(0.9)) - 1, len(TENANTS) - 1)]
            try:
                async with on_demand.acquire(VersionRef(tenant, "1"), tenant) as lease:
                    asked = BackendRequest(
                        f"{number}-{turn}", PROMPT, Sampling(max_tokens=LENGTH), adapter=lease.engine_name
                    )
                    answer = text(await collect(tiny_engine, asked))
                if answer != alone[tenant]:
                    wrong.append(tenant)
            except BackendUnavailable:
                refused += 1
                await killed.wait()
            if number == 0 and turn == 7:
                os.kill(tiny_engine.process_ids[0], signal.SIGKILL)
                await tiny_engine.death()
                await tiny_engine.start()
                killed.set()

    try:
        await asyncio.gather(*map(client, range(6)))
        assert (wrong, on_demand.waiting) == ([], 0)
        assert refused <= 6
        assert len(pins.all()) > 5
        assert sum(number for number in manager.on_demand().values()) == on_demand.copies
    finally:
        await on_demand.close()
        for tenant in TENANTS:
            await manager.dismiss(VersionRef(tenant, "1"))
        await manager.close()
        pins.close()
        store.close()
        for adapter in tiny_adapters.values():
            await tiny_engine.load_adapter(adapter)
