"""Starting: cancelled or failed, it leaves no process behind and says why. Beside the shared engine."""

from __future__ import annotations

import asyncio
import multiprocessing
import shutil
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from engine_fixtures import SESSION_ENGINE, collect, request, tiny_settings
from trivet.backends.engine_sockets import socket_folder
from trivet.backends.vllm_embedded import EmbeddedVllm, EngineState
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
    with pytest.raises(BackendUnavailable, match=r"the engine did not start .*; see .*engine.log"):
        await backend.start()
    assert (backend.ready, backend.state, backend.incarnation) == (False, EngineState.DEAD, 0)
    assert "Cannot find any model weights" in (tmp_path / "engine.log").read_text()
    assert await _no_more_than(others)
    await backend.close()
    assert tiny_engine.ready


async def _no_more_than(others: set[BaseProcess]) -> bool:
    deadline = time.monotonic() + 10
    while set(multiprocessing.active_children()) - others:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


async def test_sockets_and_logs_of_two_engines_of_one_name_are_apart(
    tiny_engine: EmbeddedVllm, tiny_model: Path, tmp_path: Path
) -> None:
    settings = tiny_settings(tiny_model, tmp_path)
    sockets = socket_folder(settings.cache_folder, settings.name)
    backend = EmbeddedVllm(settings)
    await backend.start()
    assert len(list(sockets.iterdir())) > 0
    assert (tmp_path / "engine-logging.json").is_file()
    assert "vllm.v1.engine.core" in (tmp_path / "engine.log").read_text()
    await backend.close()
    assert not sockets.exists()
    assert await collect(tiny_engine, request([5]))
