"""Closed loops of searches."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.retrieval.systems import Ask

_WARM_UP = 0.2  # of the window


@dataclass(frozen=True, slots=True)
class Window:
    """Milliseconds per search, searches per second."""

    p50: float
    p99: float
    per_second: float
    searches: int
    empty: int


async def measure(ask: Ask, texts: Sequence[str], streams: int, seconds: float) -> Window:
    """So many loops, each with one search at a time, for so long; the texts in turn, and from the start again."""
    waiting = itertools.cycle(texts)
    loop = asyncio.get_running_loop()
    begin = loop.time() + _WARM_UP * seconds
    end = begin + seconds
    took: list[float] = []
    empty = 0

    async def run() -> None:
        nonlocal empty
        while (started := loop.time()) < end:
            before = time.perf_counter()
            found = await ask(next(waiting))
            if started >= begin:
                took.append(1000 * (time.perf_counter() - before))
                empty += not found

    await asyncio.gather(*(run() for _ in range(streams)))
    p50, p99 = np.percentile(took, [50, 99]) if took else (float("nan"),) * 2
    return Window(float(p50), float(p99), len(took) / (loop.time() - begin), len(took), empty)
