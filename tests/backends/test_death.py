"""Engine death: noticed at once, told truly, survived by a new start. On the shared engine, which is then restored."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import replace

import pytest

from tests.support.engine.fixtures import SESSION_ENGINE, collect, request, text
from trivet.backends.engine_life import EngineState
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.errors import BackendUnavailable, NotFound
from trivet.ports import Backend
from trivet.types.adapter import StagedAdapter

pytestmark = SESSION_ENGINE
PROMPT = tuple(range(10, 80))
NOTICED_SECONDS = 1.0


async def test_killed_while_busy_and_started_again(
    engine: Backend, tiny_engine: EmbeddedVllm, tiny_adapters: dict[str, StagedAdapter]
) -> None:
    red = tiny_adapters["red"]
    before = text(await collect(engine, request(PROMPT, red)))
    incarnation = engine.incarnation
    streams = [asyncio.create_task(collect(engine, request(PROMPT, max_tokens=900))) for _ in range(4)]
    await asyncio.sleep(0.1)
    loading = asyncio.create_task(tiny_engine.stats())
    os.kill(tiny_engine.process_ids[0], signal.SIGKILL)
    killed = time.monotonic()
    outcomes = await asyncio.gather(*streams, loading, return_exceptions=True)
    assert time.monotonic() - killed < NOTICED_SECONDS
    for outcome in outcomes[:4]:
        assert isinstance(outcome, BackendUnavailable)
        assert outcome.retry_after > 0
    assert (tiny_engine.ready, tiny_engine.state) == (False, EngineState.DEAD)
    with pytest.raises(BackendUnavailable):
        await collect(engine, request(PROMPT))
    with pytest.raises(BackendUnavailable):
        await engine.load_adapter(red)
    await engine.unload_adapter(red.engine_name)

    await tiny_engine.start()
    while not engine.ready or engine.incarnation == incarnation:  # a node tells it in its next status
        await asyncio.sleep(0.02)
    assert engine.incarnation == incarnation + 1
    with pytest.raises(NotFound):
        await collect(engine, request(PROMPT, red))
    for adapter in tiny_adapters.values():
        await engine.load_adapter(adapter)
    chunks = await collect(engine, request(PROMPT, red))
    assert (chunks[0].cached_tokens, text(chunks)) == (0, before)


async def test_killed_while_idle(tiny_engine: EmbeddedVllm, tiny_adapters: dict[str, StagedAdapter]) -> None:
    death = asyncio.create_task(tiny_engine.death())
    await asyncio.sleep(0)
    process = tiny_engine.process_ids[0]
    os.kill(process, signal.SIGKILL)
    killed = time.monotonic()
    assert f"process {process}" in await death
    assert time.monotonic() - killed < NOTICED_SECONDS
    assert not tiny_engine.ready
    await tiny_engine.start()
    for adapter in tiny_adapters.values():
        await tiny_engine.load_adapter(adapter)


async def test_stopped_while_busy(tiny_engine: EmbeddedVllm, tiny_adapters: dict[str, StagedAdapter]) -> None:
    """A process that lives and does nothing, as one does that waits for a driver for ever."""
    usual = tiny_engine._start._settings
    await tiny_engine.close()
    tiny_engine._start._settings = replace(usual, hang_timeout=4.0)
    try:
        await tiny_engine.start()
        await asyncio.sleep(5.0)
        assert text(await collect(tiny_engine, request(PROMPT))), "idle is not hung"
        stream = asyncio.create_task(collect(tiny_engine, request(PROMPT, max_tokens=900)))
        await asyncio.sleep(0.1)
        process = tiny_engine.process_ids[0]
        os.kill(process, signal.SIGSTOP)
        with pytest.raises(BackendUnavailable, match="gave no sign of life for 4 s"):
            await stream
        assert not tiny_engine.ready
    finally:  # other tests have this engine after this one
        tiny_engine._start._settings = usual
    await tiny_engine.start()
    for adapter in tiny_adapters.values():
        await tiny_engine.load_adapter(adapter)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert text(await collect(tiny_engine, request(PROMPT)))
