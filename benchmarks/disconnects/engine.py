"""The same, by the engine's own word: when it has nothing left of a request whose client has left.

The HTTP door and the pipeline are the server's own, on an event loop of this process, so that the engine can be asked.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack, aclosing
from itertools import count
from pathlib import Path
from typing import Any, cast

from benchmarks.disconnects.client import Leaving
from benchmarks.measuring.workload import Workload
from tests.support.gateway.harness import gateway
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.backends.vllm_settings import EmbeddedSettings
from trivet.types.generation import BackendRequest
from trivet.types.variant import Sampling

ROUTE = "plain"  # of the harness
TOKENS, EVENTS = 700, (3, 40)
PROMPT = tuple(range(5, 105))
POLL = 0.001  # seconds
GIVE_UP = 30.0


def measure(workload: Workload, times: int, others: int) -> list[float]:
    """Milliseconds, for so many clients beside `others` endless streams, from a client's close until the engine's
    process says that it has no work left; with others, until it answers a call that it was sent after the abort, in
    the same queue."""
    return asyncio.run(_measure(workload, times, others))


async def _measure(workload: Workload, times: int, others: int) -> list[float]:
    folder = workload.folder / f"engine-{others}"
    folder.mkdir()
    backend = EmbeddedVllm(_settings(workload, folder))
    async with AsyncExitStack() as stack:
        await backend.start()
        stack.push_async_callback(backend.close)
        scripted = cast("Any", backend)
        door = await stack.enter_async_context(gateway(folder, backend=scripted, http=True, max_running=32))
        load = _Load(backend, others)
        stack.push_async_callback(load.close)
        chance = random.Random(7)
        found: list[float] = []
        while len(found) < times:
            took = await _one(backend, door.http, load, f"left-{len(found)}", chance.randint(*EVENTS))
            if took is not None:
                found.append(1000 * took)
        return found


def _settings(workload: Workload, folder: Path) -> EmbeddedSettings:
    return EmbeddedSettings(
        name="scripted", model=workload.model, cache_folder=folder / "cache", log_file=folder / "engine.log",
        block_size=32, kv_cache_memory_bytes=64 << 20, max_model_len=1024, dtype="float32",
    )  # fmt: skip


class _Load:
    """Endless streams, each with a request after the other. `begun` counts their requests."""

    def __init__(self, backend: EmbeddedVllm, streams: int) -> None:
        self.streams = streams
        self.begun = 0
        self._backend = backend
        self._numbers = count()
        self._tasks = [asyncio.create_task(self._endless()) for _ in range(streams)]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _endless(self) -> None:
        while True:
            number = next(self._numbers)
            self.begun += 1
            sampling = Sampling(max_tokens=900, temperature=1.0)
            request = BackendRequest(f"beside-{number}", (*PROMPT, 105 + number % 100), sampling)
            async with aclosing(self._backend.generate(request)) as chunks:
                async for _ in chunks:
                    pass


async def _one(backend: EmbeddedVllm, address: str, load: _Load, name: str, events: int) -> float | None:
    """Seconds; None if one of the others ended meanwhile, so that the engine's count tells nothing."""
    begun = load.begun
    asked = await asyncio.to_thread(
        lambda: Leaving(address, ROUTE, f"Hello, {name}?", stream=True, tokens=TOKENS, request_id=name)
    )
    await asyncio.to_thread(asked.read_events, events)
    before = await backend.stats()
    if before.unfinished != load.streams + 1:
        raise RuntimeError(f"{before.unfinished} requests are in the engine, expected {load.streams + 1}")
    await asyncio.to_thread(asked.leave)
    while True:
        stats = await backend.stats()
        if stats.unfinished <= load.streams:
            break
        if time.perf_counter() - asked.closed > GIVE_UP:
            raise TimeoutError(f"the engine still has a request {GIVE_UP:g} s after its client left")
        await asyncio.sleep(POLL)
    stats = await backend.stats()  # its answer comes after the abort, which stands before it in the engine's queue
    while not load.streams and stats.busy:
        stats = await backend.stats()
    took = time.perf_counter() - asked.closed
    return took if load.begun == begun else None
