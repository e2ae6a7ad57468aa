"""The same on real engine nodes: the server's `Fleet` with its own choice, and with round robin in its place."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import Collection
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from benchmarks.fleet.nodes import ENGINE, ROOT, Node
from tests.support.engine.served_node import remote_settings
from trivet.errors import BackendUnavailable, Overloaded
from trivet.fleet.discovery import FixedList
from trivet.fleet.endpoint import Endpoint
from trivet.fleet.fleet import Fleet, FleetSettings
from trivet.fleet.placement import Placement
from trivet.fleet.remote.remote_engine import RemoteEngine
from trivet.model_hub.fingerprints import model_fingerprint, tokenizer_fingerprint
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import BackendRequest
from trivet.types.variant import Sampling, VersionRef

MODEL = Path(str(ENGINE["model"]))
ADAPTER = ROOT / "adapters" / "ticket-sorter" / "1"
ADAPTERS, PLACES, PREFIXES = 12, 4, 3  # in all; of each node; of each adapter
PREFIX, QUESTION, ANSWER, BLOCK = 448, 24, 8, 32  # tokens
KV_BYTES = 24 << 20  # of each node: some 13 prefixes, of 36
FIRST_ID, LAST_ID = 300, 1500  # plain tokens of the demo's vocabulary
ZIPF = 1.1
PLACE_AGAIN = 0.01  # seconds until round robin asks again for a place
RULES = ("round robin", "fleet")


class RoundRobin(Placement):
    """The next node, whatever it has; what it lacks it is given first, once a place is free there."""

    _next = 0

    async def place(self, request: BackendRequest, key: bytes, tried: Collection[Endpoint]) -> Endpoint:
        """See `Placement.place`."""
        eligible = [one for one in self._membership.endpoints.values() if one.eligible and one not in tried]
        if not eligible:
            raise BackendUnavailable(self._membership.why_none, 1.0)
        chosen = sorted(eligible, key=lambda one: one.address)[self._next % len(eligible)]
        self._next += 1
        while not self._warm(chosen, request.adapter, key):
            try:
                await asyncio.shield(self._preparation.warm_up(chosen, request, key))
            except Overloaded:
                await asyncio.sleep(PLACE_AGAIN)
        return chosen


@dataclass
class Window:
    """What one rule did, over some requests."""

    rule: str
    waits: list[float] = field(default_factory=list)  # seconds until the first token
    hits: int = 0
    loads: int = 0
    failed: int = 0
    spread: list[float] = field(default_factory=list)  # the busiest node's requests by the mean

    def row(self) -> str:
        """Of the table."""
        waits, spread, count = sorted(self.waits), sorted(self.spread), len(self.waits) or 1
        first = f"{1000 * _at(waits, 0.5):,.0f} / {1000 * _at(waits, 0.99):,.0f}"
        balance = f"{_at(spread, 0.5):.2f} / {_at(spread, 0.99):.2f}"
        cells = [self.rule, f"{self.hits / count:.1%}", f"{1000 * self.loads / count:.0f}", first, balance]
        return f"| {' | '.join(cells)} | {self.failed} |"


def measure(folder: Path, count: int, streams: int, requests: int, rounds: int, seed: int) -> list[Window]:
    """`count` nodes, started for it; each rule in turn, `rounds` times, from nodes without adapters."""
    adapters = _adapters(folder / "adapters")
    engine = {**ENGINE, "max_num_seqs": 16, "max_loras": 2, "max_cpu_loras": PLACES, "kv_cache_memory_bytes": KV_BYTES}
    with ExitStack() as stack:
        nodes = [Node(folder, number, engine=engine, adapters=[str(folder / "adapters")]) for number in range(count)]
        for node in nodes:
            stack.enter_context(node)
        for node in nodes:
            node.wait()
        addresses = [node.address for node in nodes]
        order = [rule for _ in range(rounds) for rule in RULES]
        return [
            asyncio.run(_window(rule, addresses, adapters, streams, requests, seed + number))
            for number, rule in enumerate(order)
        ]


async def _window(
    rule: str, addresses: list[str], adapters: list[StagedAdapter], streams: int, requests: int, seed: int
) -> Window:
    remote = remote_settings(expected_tokenizer=tokenizer_fingerprint(MODEL), expected_model=model_fingerprint(MODEL))
    fleet, window = Fleet(FleetSettings(remote, slow_start=0.0), FixedList(addresses)), Window(rule)
    if rule == "round robin":
        fleet._placement = RoundRobin(fleet.membership, fleet._desired, fleet._preparation, 1.25)
    load = RemoteEngine.load_adapter

    async def counted(engine: RemoteEngine, adapter: StagedAdapter) -> None:
        window.loads += 1
        await load(engine, adapter)

    try:
        await fleet.start()
        await _all_eligible(fleet, len(addresses))
        for adapter in adapters:
            await fleet.load_adapter(adapter)
        with patch.object(RemoteEngine, "load_adapter", counted):
            draw = random.Random(seed)
            drawn = iter(_requests(draw, adapters, requests))
            await asyncio.gather(*(_ask(fleet, drawn, window) for _ in range(streams)))
        for adapter in adapters:
            await fleet.unload_adapter(adapter.engine_name)
    finally:
        await fleet.close()
    return window


async def _all_eligible(fleet: Fleet, count: int) -> None:
    deadline = time.monotonic() + 120
    while sum(one.eligible for one in fleet.endpoints.values()) < count:
        assert time.monotonic() < deadline, "a node is not ready"
        await asyncio.sleep(0.05)


async def _ask(fleet: Fleet, drawn: Any, window: Window) -> None:
    for request in drawn:
        loads = [one.engine.load for one in fleet.endpoints.values()]
        if sum(loads):
            window.spread.append(max(loads) * len(loads) / sum(loads))
        begun, first = time.monotonic(), True
        try:
            async with aclosing(fleet.generate(request)) as chunks:
                async for chunk in chunks:
                    if first:
                        first = False
                        window.waits.append(time.monotonic() - begun)
                        window.hits += (chunk.cached_tokens or 0) >= PREFIX - BLOCK
        except BackendUnavailable:
            window.failed += 1


def _requests(draw: random.Random, adapters: list[StagedAdapter], count: int) -> list[BackendRequest]:
    """Keys by Zipf's law; another question each time."""
    fixed = random.Random(7)
    keys = [(adapter, _ids(fixed, PREFIX)) for adapter in adapters for _ in range(PREFIXES)]
    fixed.shuffle(keys)
    weights = list(accumulate(1 / (rank + 1) ** ZIPF for rank in range(len(keys))))
    chosen = draw.choices(keys, cum_weights=weights, k=count)
    return [
        BackendRequest(
            f"r{draw.getrandbits(64):x}", (*prefix, *_ids(draw, QUESTION)), Sampling(max_tokens=ANSWER),
            adapter=adapter.engine_name, unsalted_tokens=PREFIX,
        )
        for adapter, prefix in chosen
    ]  # fmt: skip


def _ids(draw: random.Random, count: int) -> tuple[int, ...]:
    return tuple(draw.randrange(FIRST_ID, LAST_ID) for _ in range(count))


def _adapters(folder: Path) -> list[StagedAdapter]:
    """One adapter under many names, which to an engine are as many adapters."""
    found = []
    for number in range(ADAPTERS):
        ref = VersionRef(f"copy-{number}", "1")
        copy = folder / ref.name / ref.version
        shutil.copytree(ADAPTER, copy)
        manifest = yaml.safe_load((copy / "adapter.yaml").read_text())
        (copy / "adapter.yaml").write_text(yaml.safe_dump({**manifest, "name": ref.name}))
        found.append(StagedAdapter(ref, manifest["digest"], manifest["rank"], copy))
    return found


def _at(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0
