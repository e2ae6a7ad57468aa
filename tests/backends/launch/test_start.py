"""Starting: cancelled or failed, it leaves no process behind and says why. Beside the shared engine."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import shutil
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine.fixtures import SESSION_ENGINE, collect, request, tiny_settings
from trivet.backends.engine_life import EngineState
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.errors import BackendUnavailable

pytestmark = SESSION_ENGINE


async def test_cancelled(tiny_engine: EmbeddedVllm, tiny_model: Path, tmp_path: Path) -> None:
    others = set(multiprocessing.active_children())
    states: list[EngineState] = []
    backend = EmbeddedVllm(tiny_settings(tiny_model, tmp_path), states.append)
    start = asyncio.create_task(backend.start())
    while not set(multiprocessing.active_children()) - others:
        await asyncio.sleep(0.02)
    with pytest.raises(BackendUnavailable, match="the engine is loading"):
        await collect(backend, request([5]))
    start.cancel()
    await asyncio.wait({start})
    assert start.cancelled()
    assert states == [EngineState.STARTING, EngineState.LOADING, EngineState.STOPPED]
    assert await _no_more_than(others)
    assert tiny_engine.ready


async def test_started_again_right_after_it_was_cancelled(
    tiny_engine: EmbeddedVllm, tiny_model: Path, tmp_path: Path
) -> None:
    others = set(multiprocessing.active_children())
    backend = EmbeddedVllm(tiny_settings(tiny_model, tmp_path))
    start = asyncio.create_task(backend.start())
    while not set(multiprocessing.active_children()) - others:
        await asyncio.sleep(0.02)
    start.cancel()
    await asyncio.wait({start})
    await backend.start()
    (process,) = set(multiprocessing.active_children()) - others
    assert backend.process_ids == [process.pid]
    assert await collect(backend, request([5]))
    await backend.close()
    assert await _no_more_than(others)


async def test_failed(tiny_engine: EmbeddedVllm, tiny_model: Path, tmp_path: Path) -> None:
    others = set(multiprocessing.active_children())
    broken = tmp_path / "broken"
    shutil.copytree(tiny_model, broken)
    (broken / "model.safetensors").unlink()
    backend = EmbeddedVllm(tiny_settings(broken, tmp_path))
    told = (
        r"engine tiny did not start: Cannot find any model weights .*needs its weights as \*\.safetensors.*engine\.log"
    )
    with pytest.raises(BackendUnavailable, match=told):
        await backend.start()
    assert (backend.ready, backend.state, backend.incarnation) == (False, EngineState.DEAD, 0)
    assert await _no_more_than(others)
    await backend.close()
    assert tiny_engine.ready


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"kv_cache_memory_bytes": 1 << 20},
            r"the engine tiny did not start: .*KV cache.* Raise kv_cache_memory_bytes .* The whole log: .*engine\.log",
        ),
        (
            {"max_model_len": 9999},
            r"max_model_len.* Lower max_model_len to what the model was made for, or leave it out\.",
        ),
        (
            {"engine_args": {"quantization": "awq"}},
            r"config file for awq\. Take the quantization that the model's config",
        ),
        ({"engine_args": {"kv_cache_dtype": "fp9"}}, r"engine_args\.kv_cache_dtype: Input should be 'auto'"),
    ],
)
async def test_what_kept_it_from_starting_is_told(
    tiny_engine: EmbeddedVllm, tiny_model: Path, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    others = set(multiprocessing.active_children())
    (tmp_path / "engine.log").write_text("ValueError: of an earlier start\n")
    backend = EmbeddedVllm(tiny_settings(tiny_model, tmp_path, **changes))
    with pytest.raises(BackendUnavailable, match=told) as refused:
        await backend.start()
    assert "earlier start" not in str(refused.value)
    assert "root cause" not in str(refused.value)
    assert await _no_more_than(others)
    assert tiny_engine.ready


async def test_a_share_of_the_memory_is_taken_where_none_is_named(
    tiny_engine: EmbeddedVllm, tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trivet.backends")
    backend = EmbeddedVllm(tiny_settings(tiny_model, tmp_path, kv_cache_memory_bytes=None, max_num_seqs=4))
    await backend.start()
    assert await collect(backend, request([5]))
    await backend.close()
    (line,) = [record.getMessage() for record in caplog.records if "the KV cache takes" in record.getMessage()]
    assert line.startswith("engine tiny: the KV cache takes 0.07 GB, room for 65536 tokens; ")


async def _no_more_than(others: set[BaseProcess]) -> bool:
    deadline = time.monotonic() + 10
    while set(multiprocessing.active_children()) - others:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


@pytest.mark.parametrize("length", [1, 200], ids=["short", "longer than a socket's path"])
async def test_sockets_and_logs_of_two_engines_of_one_name_are_apart(
    tiny_engine: EmbeddedVllm, tiny_model: Path, tmp_path: Path, length: int
) -> None:
    settings = tiny_settings(tiny_model, tmp_path, cache_folder=tmp_path / ("x" * length))
    sockets = settings.cache_folder / "sockets" / "tiny"
    backend = EmbeddedVllm(settings)
    await backend.start()
    assert len(list(sockets.iterdir())) > 0
    assert {path.name.partition("_")[0] for path in sockets.iterdir() if not path.is_socket()} == {"vllm"}
    assert await collect(backend, request([5]))
    assert (tmp_path / "engine-logging.json").is_file()
    assert "vllm.v1.engine.core" in (tmp_path / "engine.log").read_text()
    await backend.close()
    assert not sockets.exists()
    assert await collect(tiny_engine, request([5]))
