"""Mixed requests in rounds, each answer held against the same question's asked alone; goes on where it was left."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.shared_prefix.world import Answer, Ids, World, running, tokens
from trivet.types.adapter import StagedAdapter

PREFIX, TOKENS, QUESTIONS = 130, 8, 24
TENANTS = (None, "north", "south", "east")
MODELS = {"base": None, "plain-1": 1, "plain-2": 2, "plain-3": 3, "activated-1": 4, "activated-2": 5, "activated-3": 6}
AT_A_TIME, ROUND = 96, 1000
NEAR = 0.01  # between a token's log probability and the next one's: nearer ones may change places with a sum's order
ROOM: dict[str, Any] = {
    "kv_cache_memory_bytes": 12 << 20,
    "max_model_len": 512,
    "max_loras": 2,
    "max_cpu_loras": 7,
    "max_num_seqs": 48,
}


@dataclass
class Found:
    """Of all runs so far. `alone`: the answer to each question by each model. `near`: those that were left out."""

    alone: dict[str, str] = field(default_factory=dict)
    near: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    cached: int = 0
    read: int = 0
    preemptions: int = 0
    swaps: int = 0
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """Answers that were compared."""
        return sum(self.answers.values())

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(vars(self) | {"answers": dict(self.answers)}))
        fresh.replace(path)

    @classmethod
    def read_from(cls, path: Path) -> Found:
        """What was found before; nothing if there is no such file."""
        if not path.exists():
            return cls()
        known = json.loads(path.read_text())
        return cls(**(known | {"answers": Counter(known["answers"])}))


def question(number: int) -> Ids:
    """Three prefixes, so that some of the cache is always somebody else's."""
    prefix, said = tokens(number % 3, PREFIX), tokens(100 + number, 7 + 5 * number % 60)
    return (*prefix, *said)


async def measure(folder: Path, state: Path, wanted: int, seconds: float, tell: Callable[[str], None]) -> Found:
    """Rounds until there are `wanted` answers, or for `seconds`."""
    found = Found.read_from(state)
    async with running(folder, **ROOM) as world:
        adapters = {name: await _loaded(world, name, seed) for name, seed in MODELS.items()}
        if not found.alone:
            await _ask_alone(world, adapters, found)
            found.write(state)
            tell(f"{len(found.alone)} answers alone, {found.near} left out")
        until = time.monotonic() + seconds
        while found.total < wanted and time.monotonic() < until:
            begun = time.monotonic()
            await _round(world, adapters, found)
            found.seconds += time.monotonic() - begun
            found.write(state)
            tell(f"{found.total} of {wanted} answers, {len(found.wrong)} wrong, {found.total / found.seconds:.0f}/s")
    return found


async def _loaded(world: World, name: str, seed: int | None) -> StagedAdapter | None:
    return None if seed is None else await world.adapter(name, name.partition("-")[0], seed)


async def _ask_alone(world: World, adapters: dict[str, StagedAdapter | None], found: Found) -> None:
    """One at a time, and each with a salt of its own: nothing of another one's is in its cache or its batch."""
    for name, adapter in adapters.items():
        for number in range(QUESTIONS):
            salt = f"alone {name} {number}"
            answer = await world.ask(question(number), adapter, TOKENS, cache_salt=salt, top_logprobs=2)
            if min(_gaps(answer)) < NEAR:
                found.near += 1
            else:
                found.alone[f"{name} {number}"] = answer.text


def _gaps(answer: Answer) -> Sequence[float]:
    tops = [one.top for chunk in answer.chunks for one in chunk.logprobs]
    return [top[0].logprob - top[1].logprob for top in tops]


async def _round(world: World, adapters: dict[str, StagedAdapter | None], found: Found) -> None:
    """Closed loops; meanwhile another adapter comes, answers and goes, again and again."""
    draw = random.Random(found.total)
    cases = [(draw.choice(list(found.alone)), draw.choice(TENANTS)) for _ in range(ROUND)]
    swapping = asyncio.create_task(_swap(world, found))
    try:
        queue = iter(cases)

        async def loop() -> None:
            for case, tenant in queue:
                name, _, number = case.partition(" ")
                salted = {} if tenant is None else {"cache_salt": tenant, "unsalted_tokens": PREFIX}
                answer = await world.ask(question(int(number)), adapters[name], TOKENS, **salted)
                found.answers[name] += 1
                found.cached += answer.cached
                found.read += answer.cached + answer.computed
                found.preemptions += answer.preemptions
                if answer.text != found.alone[case]:
                    found.wrong.append(f"{case} of {tenant}: {answer.text!r}, alone {found.alone[case]!r}")

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_A_TIME):
                group.create_task(loop())
    finally:
        swapping.cancel()
        await asyncio.gather(swapping, return_exceptions=True)


async def _swap(world: World, found: Found) -> None:
    """Each under a name of its own, as versions have them; the engine holds one more than all others together."""
    while True:
        name = f"swap-{time.monotonic_ns()}"
        adapter = await world.adapter(name, "activated", found.swaps % 1000 + 100)
        await world.ask(question(found.swaps % QUESTIONS), adapter, 2)
        await world.engine.unload_adapter(adapter.engine_name)
        found.swaps += 1
        await asyncio.sleep(1.0)
