"""Pairs of a right and a wrong guess at another tenant's text, told apart by cached tokens and by time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.shared_prefix.world import BLOCK, Ids, World, running, tokens
from trivet.types.adapter import StagedAdapter

PREFIX = 10 * BLOCK
TEXT = 3 * BLOCK


@dataclass
class Oracle:
    """`counts`: pairs whose cached tokens differ. `quicker`: pairs whose right guess was answered sooner."""

    kind: str
    cache: str
    pairs: int
    counts: int = 0
    quicker: int = 0
    prefix_cached: int = 0


async def measure(folder: Path, pairs: int, tell: Callable[[str], None]) -> list[Oracle]:
    """With a cache for each tenant, and once with a shared one, where the attack must work."""
    found = []
    async with running(folder) as world:
        adapter = await world.adapter("oracle", "activated", 7)
        for cache in ("shared", "tenant"):
            for asked in (None, adapter):
                count = pairs if cache == "tenant" else max(1, pairs // 10)
                oracle = Oracle("base" if asked is None else "activated", cache, count)
                await _attack(world, asked, oracle)
                tell(f"{oracle}")
                found.append(oracle)
    return found


async def _attack(world: World, adapter: StagedAdapter | None, oracle: Oracle) -> None:
    """The victim asks, then the attacker asks the same and another text, in an order drawn anew."""
    draw = random.Random(f"{oracle.kind} {oracle.cache}")
    prefix = tokens(draw.randrange(1 << 30), PREFIX)
    await world.ask(prefix)

    def salted(tenant: str) -> dict[str, Any]:
        return {} if oracle.cache == "shared" else {"cache_salt": tenant, "unsalted_tokens": PREFIX}

    for _ in range(oracle.pairs):
        secret, other = (tokens(draw.randrange(1 << 30), TEXT) for _ in range(2))
        await world.ask((*prefix, *secret), adapter, **salted("victim"))
        guesses: list[tuple[bool, Ids]] = [(True, secret), (False, other)]
        draw.shuffle(guesses)
        answers = {right: await world.ask((*prefix, *guess), adapter, **salted("attacker")) for right, guess in guesses}
        oracle.counts += answers[True].cached != answers[False].cached
        oracle.quicker += answers[True].first < answers[False].first
        oracle.prefix_cached += answers[True].cached >= PREFIX and answers[False].cached >= PREFIX
