"""What the first token, the prompt, the cache and a second cost, with 1 to 16 adapters over one prefix."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.shared_prefix.world import BLOCK, INVOCATION, KINDS, Ids, World, running, tokens
from trivet.app.node.engine_node import KV_USE
from trivet.types.adapter import StagedAdapter

PREFIX, QUESTION, ANSWER, HELD = 900, 24, 8, 96
OWN = QUESTION + len(INVOCATION)  # tokens of a prompt after the prefix
COUNTS = (1, 4, 16)
LOOPS = 16
KV_BYTES = 80 << 20  # room for ten prefixes, and not for sixteen
TOKEN_BYTES = 4 * 2 * 8 * 32 * 4  # layers, keys and values, heads, their size, float32


@dataclass
class Cost:
    """Of one kind of adapters and one count of them. Seconds to first tokens; `base`: of the base model, its prefix
    warm, right before each cold one. `computed`: prompt tokens of all cold requests. `held`: KV blocks in use while one
    request of each adapter is answered."""

    kind: str
    adapters: int
    base: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    computed: int = 0
    held: float = 0.0
    rate: float = 0.0
    rate_computed: int = 0

    @property
    def prefix_computed(self) -> int:
        """Tokens of the prefix that were computed at all: for the base once, and again for adapters."""
        return PREFIX + self.computed - self.adapters * (OWN + PREFIX % BLOCK)

    @property
    def prefix_blocks(self) -> float:
        """Blocks held, less those that each request has for itself whatever is shared."""
        own = -(-(PREFIX % BLOCK + OWN + HELD) // BLOCK)
        return self.held - own * self.adapters


async def measure(folder: Path, seconds: float, tell: Callable[[str], None]) -> list[Cost]:
    """All kinds and counts, one after the other in one engine."""
    found = []
    async with running(folder, kv_cache_memory_bytes=KV_BYTES, max_loras=max(COUNTS)) as world:
        for count in COUNTS:
            for kind in KINDS:
                cost = Cost(kind, count)
                await _measure(world, cost, seconds)
                found.append(cost)
                tell(f"{count} {kind}: cold {median(cost.cold) * 1000:.0f} ms, {cost.rate:.1f} requests/s")
    return found


async def _measure(world: World, cost: Cost, seconds: float) -> None:
    seed = 1000 * cost.adapters + 100 * KINDS.index(cost.kind)
    adapters = [
        await world.adapter(f"{cost.kind}-{cost.adapters}-{number}", cost.kind, seed + number)
        for number in range(cost.adapters)
    ]
    prefix, numbers = tokens(seed, PREFIX), itertools.count(seed * 100_000)

    def said() -> Ids:
        return (*prefix, *tokens(next(numbers), QUESTION))

    await world.ask(said())
    for adapter in adapters:
        cost.base.append((await world.ask(said())).first)
        cold = await world.ask(said(), adapter)
        cost.cold.append(cold.first)
        cost.computed += cold.computed
        cost.warm.append((await world.ask(said(), adapter)).first)
    cost.held = await _held(world, adapters, said)
    await _load(world, adapters, said, cost, seconds)
    for adapter in adapters:
        await world.engine.unload_adapter(adapter.engine_name)


async def _held(world: World, adapters: Sequence[StagedAdapter], said: Callable[[], Ids]) -> float:
    """The most KV blocks that were in use at a time, by the engine's own gauge."""
    total = KV_BYTES // (TOKEN_BYTES * BLOCK)
    most = 0.0
    running = [asyncio.create_task(world.ask(said(), adapter, HELD)) for adapter in adapters]
    while not all(one.done() for one in running):
        most = max(most, (world.engine.metrics.gauge(KV_USE) or 0.0) * total)
        await asyncio.sleep(0.005)
    await asyncio.gather(*running)
    return most


async def _load(
    world: World, adapters: Sequence[StagedAdapter], said: Callable[[], Ids], cost: Cost, seconds: float
) -> None:
    """Closed loops, each request of an adapter drawn anew."""
    draw, done, computed = random.Random(1), 0, 0
    begun = time.monotonic()

    async def loop() -> None:
        nonlocal done, computed
        while time.monotonic() - begun < seconds:
            answer = await world.ask(said(), draw.choice(adapters), ANSWER)
            done += 1
            computed += answer.computed

    await asyncio.gather(*(loop() for _ in range(LOOPS)))
    cost.rate = done / (time.monotonic() - begun)
    cost.rate_computed = computed // max(1, done)
