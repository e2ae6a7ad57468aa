"""Leases over a real engine of two slots: four adapters under steady traffic all progress, with the right answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from tests.support.engine.fixtures import SESSION_ENGINE, collect, request, staged, text
from tests.support.engine.tiny_model import adapter_files
from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.testing.adapters import write_adapter
from trivet.types.adapter import StagedAdapter

pytestmark = SESSION_ENGINE
PROMPT = tuple(range(5, 70))
LENGTHS = (23, 31, 41)  # tokens; they have no common divisor, so that the steady streams hardly ever end together
ENOUGH = 3


@dataclass
class Traffic:
    """Requests for adapters, and who was answered in which order."""

    engine: EmbeddedVllm
    slots: AdapterSlots
    alone: dict[tuple[str, int], str] = field(default_factory=dict)
    answered: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    async def ask(self, adapter: StagedAdapter, length: int) -> str:
        async with self.slots.enter(adapter.engine_name):
            return text(await collect(self.engine, request(PROMPT, adapter, max_tokens=length)))

    async def steady(self, adapter: StagedAdapter, length: int, enough: int | None = None) -> None:
        """One request after the other; for ever, or until `enough` are answered."""
        name = adapter.ref.name
        for _ in count() if enough is None else range(enough):
            answer = await self.ask(adapter, length)
            self.answered.append(name)
            if answer != self.alone[name, length]:
                self.wrong.append(f"{name}, {length} tokens")


async def test_four_adapters_under_steady_traffic_all_progress(
    tiny_engine: EmbeddedVllm, tiny_adapters: dict[str, StagedAdapter], tmp_path: Path
) -> None:
    """Two adapters have several streams running at any time; two more get their turns all the same, and they too."""
    grey = staged(write_adapter(tmp_path / "grey" / "1", adapter_files(4)))
    await tiny_engine.load_adapter(grey)
    red, green, blue = tiny_adapters.values()
    traffic = Traffic(tiny_engine, AdapterSlots(slots=2, quantum=0.05))
    for adapter in (red, green, blue, grey):
        for length in LENGTHS:
            traffic.alone[adapter.ref.name, length] = await traffic.ask(adapter, length)
    assert len(set(traffic.alone.values())) == 4 * len(LENGTHS)

    busy = [asyncio.create_task(traffic.steady(adapter, length)) for adapter in (red, green) for length in LENGTHS]
    try:
        while traffic.answered.count("red") < 3 or traffic.answered.count("green") < 3:
            await asyncio.sleep(0.01)
        before = len(traffic.answered)
        others = [traffic.steady(blue, LENGTHS[0], ENOUGH), traffic.steady(grey, LENGTHS[1], ENOUGH)]
        async with asyncio.timeout(120):
            await asyncio.gather(*others)
        meanwhile = traffic.answered[before:]
    except TimeoutError:
        pytest.fail(f"starved: {traffic.answered}")
    finally:
        for task in busy:
            task.cancel()
        outcomes = await asyncio.gather(*busy, return_exceptions=True)
        await tiny_engine.unload_adapter(grey.engine_name)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * len(busy)
    assert {name: meanwhile.count(name) for name in ("blue", "grey")} == {"blue": ENOUGH, "grey": ENOUGH}
    assert {"red", "green"} < set(meanwhile)  # they get turns between those
    assert not traffic.wrong
    assert (traffic.slots.leased, traffic.slots.waiting) == (0, 0)
