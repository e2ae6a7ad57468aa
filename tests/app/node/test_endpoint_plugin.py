"""What a node in a vLLM server takes from the server's flags."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trivet.app.node.endpoint_plugin import _engine, stop_before
from trivet.errors import ConfigError


def flags(model: Path, backend: str = "xgrammar") -> Any:
    """As much of vLLM's configuration as is looked at."""
    (model / "config.json").write_text("{}")
    return SimpleNamespace(
        model_config=SimpleNamespace(model=str(model)),
        lora_config=SimpleNamespace(max_loras=2, max_cpu_loras=8, max_lora_rank=16),
        scheduler_config=SimpleNamespace(max_num_seqs=64),
        structured_outputs_config=SimpleNamespace(backend=backend),
    )


def test_they_are_as_an_engines_own_file_would_say(tmp_path: Path) -> None:
    engine = _engine(flags(tmp_path), SimpleNamespace(lora_modules=["one of the server's own"]))
    assert (engine.max_num_seqs, engine.max_loras, engine.max_cpu_loras, engine.max_lora_rank) == (64, 2, 7, 16)


@pytest.mark.parametrize("backend", ["auto", "guidance"])
def test_schemas_are_compiled_by_the_library_that_they_are_tried_with(tmp_path: Path, backend: str) -> None:
    with pytest.raises(ConfigError, match=rf"structured-outputs-config\.backend: got {backend}, expected xgrammar"):
        _engine(flags(tmp_path, backend), SimpleNamespace())


@pytest.mark.parametrize("fails", [False, True])
async def test_the_node_stops_before_the_engine_and_once(fails: bool) -> None:
    told: list[str] = []

    async def stop() -> None:
        await asyncio.sleep(0.01)
        told.append("node")
        if fails:
            raise OSError("a full disk")

    client = SimpleNamespace(shutdown=lambda timeout: told.append(f"engine within {timeout} s"))
    stop_before(client, stop)
    await asyncio.to_thread(client.shutdown, timeout=5)
    await asyncio.to_thread(client.shutdown, timeout=0)
    assert told == ["node", "engine within 5 s", "engine within 0 s"]


async def test_a_dead_engine_is_shut_down_without_the_node() -> None:
    told: list[str] = []

    async def stop() -> None:
        told.append("node")

    client = SimpleNamespace(shutdown=lambda timeout: told.append("engine"))
    stop_before(client, stop)
    client.shutdown(timeout=0)
    assert told == ["engine"]
