"""How long it takes until an engine knows of a cancel that comes over the wire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import aclosing
from itertools import count
from pathlib import Path

from tests.support.engine.served_node import KnownCopies, connected, serve_node
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.backends.vllm_settings import EmbeddedSettings
from trivet.fleet.remote.remote_engine import RemoteEngine
from trivet.node.tally import Outcome, Tally
from trivet.types.generation import BackendRequest
from trivet.types.variant import Sampling

PROMPT = tuple(range(5, 105))
POLL = 0.001  # seconds
AFTER = 3  # chunks of an answer, then it is cancelled


def cancels(folder: Path, model: Path, times: int, others: int) -> list[float]:
    """Milliseconds of each cancel, with so many other streams: from closing the answer at the gateway until the
    engine's process has answered a call that it was sent after the abort. Both go through one queue, in order."""
    return asyncio.run(_cancels(folder, model, times, others))


async def _cancels(folder: Path, model: Path, times: int, others: int) -> list[float]:
    settings = EmbeddedSettings(
        name="cancels", model=model, cache_folder=folder / "cache", log_file=folder / "engine.log", block_size=32,
        kv_cache_memory_bytes=64 << 20, max_model_len=2048, dtype="float32",
    )  # fmt: skip
    backend = EmbeddedVllm(settings)
    await backend.start()
    try:
        async with serve_node(backend, folder / "node", copies=KnownCopies()) as node, connected(node) as engine:
            numbers = count()
            load = [asyncio.create_task(_endless(engine, numbers)) for _ in range(others)]
            found = [await _cancel(engine, backend, node.servicer.tally, numbers) for _ in range(times)]
            for task in load:
                task.cancel()
            await asyncio.gather(*load, return_exceptions=True)
            return found
    finally:
        await backend.close()


async def _cancel(engine: RemoteEngine, backend: EmbeddedVllm, tally: Tally, numbers: Iterator[int]) -> float:
    """One that ends by itself before it is cancelled does not count: another is begun."""
    while True:
        aborted = tally.requests[Outcome.ABORTED]
        answer = engine.generate(_request(numbers))
        try:
            for _ in range(AFTER):
                await anext(answer)
        except StopAsyncIteration:
            continue
        left = time.monotonic()
        closing = asyncio.create_task(answer.aclose())
        while tally.requests[Outcome.ABORTED] == aborted and not closing.done():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(POLL)
        await backend.stats()
        took = time.monotonic() - left
        await closing
        if tally.requests[Outcome.ABORTED] > aborted:
            return 1000 * took


async def _endless(engine: RemoteEngine, numbers: Iterator[int]) -> None:
    while True:
        async with aclosing(engine.generate(_request(numbers))) as chunks:
            async for _ in chunks:
                pass


def _request(numbers: Iterator[int]) -> BackendRequest:
    number = next(numbers)
    return BackendRequest(f"cancel-{number}", (*PROMPT, 105 + number % 100), Sampling(max_tokens=1500, temperature=1.0))
