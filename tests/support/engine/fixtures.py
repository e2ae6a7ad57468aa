"""One real vLLM engine for the whole test session, on a tiny random model with three adapters.

Tests that use it run on the session's event loop: `pytestmark = SESSION_ENGINE`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.engine.tiny_model import adapter_files, make_model
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.backends.vllm_settings import EmbeddedSettings
from trivet.ports import Backend
from trivet.testing.adapters import digest, write_adapter
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import BackendRequest, Chunk
from trivet.types.variant import Sampling, VersionRef

SESSION_ENGINE = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]
ADAPTERS = ("red", "green", "blue")


def tiny_settings(model: Path, data: Path, **changes: Any) -> EmbeddedSettings:
    """Settings of a small engine on the tiny model; forked, since the test process has imported vLLM already."""
    values: dict[str, Any] = {
        "name": "tiny",
        "model": model,
        "cache_folder": data / "cache",
        "log_file": data / "engine.log",
        "block_size": 32,
        "kv_cache_memory_bytes": 32 << 20,
        "max_model_len": 1024,
        "max_loras": 2,
        "max_cpu_loras": 8,
        "max_lora_rank": 8,
        "start_method": "fork",
    }
    return EmbeddedSettings(**(values | changes))


def staged(folder: Path) -> StagedAdapter:
    """An adapter's folder as if it had been checked and copied."""
    return StagedAdapter(VersionRef(folder.parent.name, folder.name), digest(folder), 8, folder)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's folder."""
    return make_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny_adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StagedAdapter]:
    """Three adapters by name, version 1 each."""
    root = tmp_path_factory.mktemp("adapters")
    files = {name: adapter_files(seed) for seed, name in enumerate(ADAPTERS, start=1)}
    return {name: staged(write_adapter(root / name / "1", adapter)) for name, adapter in files.items()}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def tiny_engine(
    tiny_model: Path, tiny_adapters: dict[str, StagedAdapter], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[EmbeddedVllm]:
    """The shared engine, ready, the three adapters resident. Whoever kills it starts it again and loads them."""
    backend = EmbeddedVllm(tiny_settings(tiny_model, tmp_path_factory.mktemp("engine")))
    await backend.start()
    for adapter in tiny_adapters.values():
        await backend.load_adapter(adapter)
    yield backend
    await backend.close()


@pytest_asyncio.fixture(loop_scope="session", params=["embedded", "remote"])
async def engine(
    request: pytest.FixtureRequest,
    tiny_engine: EmbeddedVllm,
    tiny_adapters: dict[str, StagedAdapter],
    tmp_path: Path,
) -> AsyncIterator[Backend]:
    """The shared engine: in this process, and once more as an engine node, over the wire."""
    if request.param == "embedded":
        yield tiny_engine
        return
    from tests.support.engine.served_node import over_the_wire

    async with over_the_wire(tiny_engine, tmp_path / "node", tiny_adapters.values()) as remote:
        yield remote


def request(
    prompt: Sequence[int], adapter: StagedAdapter | None = None, max_tokens: int = 24, **changes: Any
) -> BackendRequest:
    """A greedy request."""
    return BackendRequest(
        **{
            "request_id": "test",
            "token_ids": tuple(prompt),
            "sampling": Sampling(max_tokens=max_tokens),
            "adapter": adapter.engine_name if adapter else None,
            **changes,
        }
    )


async def collect(backend: Backend, wanted: BackendRequest) -> list[Chunk]:
    """All chunks of an answer."""
    async with aclosing(backend.generate(wanted)) as chunks:
        return [chunk async for chunk in chunks]


def text(chunks: Sequence[Chunk]) -> str:
    """The answer."""
    return "".join(chunk.text for chunk in chunks)


async def idle(backend: EmbeddedVllm, seconds: float = 30.0) -> bool:
    """Whether the engine runs out of work in time, by its own account."""
    for _ in range(int(seconds / 0.02)):
        stats = await backend.stats()
        if not stats.unfinished and not stats.busy:
            return True
        await asyncio.sleep(0.02)
    return False
