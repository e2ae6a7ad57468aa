"""The slots of each backend are what the configuration says, and their metrics tell what happens in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.support.virtual_time import run_virtually
from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.app.adapters.slots import adapter_slots
from trivet.config import load_config
from trivet.metering.metrics import Metrics

CONFIG = """\
version: 1
backends:
  local: {kind: embedded, model: model, max_loras: 1, adapter_quantum_ms: 20}
  plain: {kind: embedded, model: model, enable_lora: false}
routes:
  support: {variants: {a: {weight: 1, backend: local, prompt: p@1}}}
"""


def write_config(folder: Path) -> Path:
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    (folder / "prompts" / "p").mkdir(parents=True)
    (folder / "prompts" / "p" / "1.md").write_text("Answer.")
    file = folder / "trivet.yaml"
    file.write_text(CONFIG)
    return file


def test_slots_and_their_metrics(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    slots = adapter_slots(load_config(write_config(tmp_path)), Metrics(registry))
    assert set(slots) == {"local", "plain"}

    def value(name: str, backend: str = "local") -> float | None:
        return registry.get_sample_value(f"trivet_adapter_{name}", {"backend": backend})

    run_virtually(traffic(slots, value))
    assert (value("slots_leased"), value("waiting")) == (0, 0)
    assert value("wait_seconds_count") == 2
    assert value("wait_seconds_sum") == pytest.approx(0.03)
    assert (value("waiting", "plain"), value("wait_seconds_count", "plain")) == (0, 0)


async def traffic(slots: Mapping[str, AdapterSlots], value: Callable[[str], float | None]) -> None:
    async def request(adapter: str) -> None:
        async with slots["local"].enter(adapter):
            pass

    async with slots["local"].enter("red@1#aa"):
        waiting = asyncio.create_task(request("green@1#bb"))
        await asyncio.sleep(0)
        assert (value("slots_leased"), value("waiting")) == (1, 1)
        assert slots["local"].admits("red@1#aa")
        await asyncio.sleep(0.03)
        assert not slots["local"].admits("red@1#aa"), "its quantum of 20 ms has run out"
    await waiting
