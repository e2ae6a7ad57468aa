"""An engine node inside a stock vLLM server: the isolation and swap suites pass through it, and what its own clients
load and unload over HTTP keeps to the places."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from tests.backends.test_isolation import test_hot_swap_under_load, test_mixed_batches
from tests.support.engine.fixtures import request, staged
from tests.support.engine.served_node import remote_settings
from tests.support.engine.tiny_model import adapter_files
from tests.support.nodes.plugged_server import PluggedEngine, PluggedServer, plugged_server
from trivet.errors import AdapterRejected
from trivet.model_hub.fingerprints import tokenizer_fingerprint
from trivet.testing.adapters import write_adapter
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import FinishReason

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]
__all__ = ["test_hot_swap_under_load", "test_mixed_batches"]
PLACES = 8


@pytest.fixture(scope="module")
def server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PluggedServer]:
    with plugged_server(tiny_model, tmp_path_factory.mktemp("plugged")) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def engine(
    server: PluggedServer, tiny_model: Path, tiny_adapters: dict[str, StagedAdapter]
) -> AsyncIterator[PluggedEngine]:
    """As a gateway has it, the three adapters resident."""
    engine = PluggedEngine(server.node, remote_settings(expected_tokenizer=tokenizer_fingerprint(tiny_model)))
    engine.server = server
    try:
        await engine.start()
        for adapter in tiny_adapters.values():
            await engine.load_adapter(adapter)
        yield engine
    finally:
        await engine.close()


async def test_a_bad_adapter_never_reaches_the_engine(
    engine: PluggedEngine, server: PluggedServer, tmp_path: Path
) -> None:
    before = server.resident()
    files = adapter_files(30)
    files.config["r"] = 64
    with pytest.raises(AdapterRejected):
        await engine.load_adapter(staged(write_adapter(tmp_path / "bad" / "1", files)))
    assert server.resident() == before


async def test_what_clients_of_the_server_load_has_places_of_its_own(
    engine: PluggedEngine, server: PluggedServer, tmp_path: Path
) -> None:
    """With three of a gateway's in eight places, five more fit; then one that nobody uses gives way. The engine never
    pushes out anything by itself."""
    folders = {
        f"own{seed}": write_adapter(tmp_path / f"own{seed}" / "1", adapter_files(seed)) for seed in range(60, 65)
    }
    before = server.resident()
    assert len(before) == 3
    for name, folder in folders.items():
        assert server.post("/v1/load_lora_adapter", lora_name=name, lora_path=str(folder))[0] == 200
    assert len(server.resident()) == PLACES
    assert before < server.resident()
    last = write_adapter(tmp_path / "last" / "1", adapter_files(65))
    assert server.post("/v1/load_lora_adapter", lora_name="last", lora_path=str(last))[0] == 200
    assert len(server.resident()) == PLACES
    assert len(before - server.resident()) == 1, "the node gave one of its own up"
    status, _ = server.post("/v1/completions", model="last", prompt="the", max_tokens=3)
    assert status == 200
    for name in (*folders, "last"):
        assert server.post("/v1/unload_lora_adapter", lora_name=name)[0] == 200
    assert len(server.resident()) == 2
    assert server.resident() < before


async def test_unloading_frees_the_place_and_loading_in_place_is_refused(
    engine: PluggedEngine, server: PluggedServer, tmp_path: Path
) -> None:
    folder = write_adapter(tmp_path / "again" / "1", adapter_files(70))
    before = server.resident()
    for _ in range(2):
        assert server.post("/v1/load_lora_adapter", lora_name="again", lora_path=str(folder))[0] == 200
        status, told = server.post("/v1/load_lora_adapter", lora_name="again", lora_path=str(folder), load_inplace=True)
        assert (status, "KV cache of the old weights" in told) == (400, True)
        assert len(server.resident()) == len(before) + 1
        assert server.post("/v1/unload_lora_adapter", lora_name="again")[0] == 200
        assert server.resident() == before
    assert server.post("/v1/unload_lora_adapter", lora_name="again")[0] == 404
    missing = str(tmp_path / "nowhere")
    for _ in range(PLACES + 1):  # each of which would keep its place
        assert server.post("/v1/load_lora_adapter", lora_name="gone", lora_path=missing)[0] >= 400
    assert server.resident() == before


async def test_a_server_that_is_told_to_end_finishes_what_gateways_have_asked(
    engine: PluggedEngine, server: PluggedServer
) -> None:
    """The last test of it."""
    async with aclosing(engine.generate(request(range(40), max_tokens=800))) as chunks:
        await anext(chunks)
        server.terminate()
        rest = [(chunk, engine.draining) async for chunk in chunks]
    assert rest[-1][0].finish is FinishReason.LENGTH
    assert rest[-1][1], "gateways were told to bring nothing new"
    async with asyncio.timeout(60):
        while engine.ready:
            await asyncio.sleep(0.02)
