"""The parts of the adapters' benchmark: each starts what it needs and returns its figures."""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.adapters.load import Seen, Streams, ask
from benchmarks.adapters.world import BASE, MAX_TOKENS, AdapterWorld
from benchmarks.measuring.percentiles import percentile
from benchmarks.measuring.processes import descendants, resident_bytes
from trivet.cli.server.process import ServerProcess
from trivet.client import Client

Say = Callable[[str], None]
STREAMS = 8
SLOTS = 2
WINDOW = 8.0  # seconds of streams with swaps, and without


@contextmanager
def served(world: AdapterWorld, name: str, adapters: list[str], **settings: Any) -> Iterator[ServerProcess]:
    """A server of its own, on a configuration of its own."""
    with ServerProcess(world.config(name, adapters, **settings), world.folder / f"data-{name}") as server:
        yield server


def spread(seconds: list[float]) -> dict[str, float]:
    """Milliseconds: the median, the 99th percentile (nearest rank) and how many there were."""
    return {
        "p50_ms": 1000 * statistics.median(seconds), "p99_ms": 1000 * percentile(seconds, 0.99), "n": len(seconds)
    }  # fmt: skip


def loads(world: AdapterWorld, times: int, rounds: int, say: Say) -> dict[str, Any]:
    """How long a load takes, idle and beside streams, and what swaps do to those streams.

    Windows of eight seconds with and without swaps take turns; the ratio of the streams' inter-token times is taken in
    each round.
    """
    fresh = world.names[4 : 4 + times]
    result: dict[str, Any] = {"idle": [], "under load": [], "rounds": []}
    with (
        served(world, "loads", world.names[:4], max_loras=4, max_cpu_loras=16) as server,
        Client(server.target) as client,
    ):
        result["idle"] = list(_swaps(client, fresh))
        say(f"loads, idle: {spread(result['idle'])}")
        routes = [BASE] * 4 + world.names[:4]
        for turn in range(rounds):
            with Streams(server.target, routes, MAX_TOKENS) as streams:
                time.sleep(1)
                quiet = streams.during(WINDOW)
                begun = time.perf_counter()
                again_and_again = _swaps(client, itertools.cycle(fresh))
                swapped = list(itertools.takewhile(lambda _: time.perf_counter() < begun + WINDOW, again_and_again))  # noqa: B023
                busy = streams.between(begun, time.perf_counter())
            result["under load"] += swapped
            gaps = {"quiet": _gaps(quiet), "swapping": _gaps(busy)}
            result["rounds"].append({name: spread(values) for name, values in gaps.items()} | {"swaps": len(swapped)})
            say(f"loads, round {turn + 1}/{rounds}: {result['rounds'][-1]}")
    return {**result, "idle": spread(result["idle"]), "under load": spread(result["under load"])}


def _swaps(client: Client, names: Iterable[str]) -> Iterator[float]:
    """Load and unload one after the other; the seconds of each load."""
    for name in names:
        begun = time.perf_counter()
        client.load_adapter(f"{name}@1")
        taken = time.perf_counter() - begun
        client.unload_adapter(f"{name}@1")
        yield taken


def _gaps(seen: list[Seen]) -> list[float]:
    return [gap for one in seen for gap in one.gaps]


def first_tokens(world: AdapterWorld, say: Say) -> dict[str, Any]:
    """Time to first token: adapter in a slot; in the engine's memory alone; only in our copy on disk.

    Twelve adapters in turn with 2 slots and 4 places in memory: each is asked when it is in neither. Three in turn with
    2 slots and memory for all: each is out of its slot. One again and again: warm.
    """
    result: dict[str, Any] = {}
    for name, memory, cycle in (("only on disk", 4, world.names[:12]), ("in memory", 16, world.names[:3])):
        settings = {"max_loras": SLOTS, "max_cpu_loras": memory}
        with served(world, f"first-{memory}", cycle, **settings) as server, Client(server.target) as client:
            for turn in range(2):  # the first turn is warming up
                cold = [ask(client, route, 100 * turn + n, 2).first for n, route in enumerate(cycle * 5)]
            warm = [ask(client, cycle[-1], 1000 + n, 2).first for n in range(60)]
        result[name], result[f"warm ({memory} in memory)"] = spread(cold), spread(warm)
        say(f"first token, {name}: {result[name]}, warm: {spread(warm)}")
    return result


def waits(world: AdapterWorld, seconds: float, say: Say) -> dict[str, Any]:
    """Four adapters, two slots, two streams of 64 tokens each, with leases and without."""
    result: dict[str, Any] = {}
    routes = [name for name in world.names[:4] for _ in range(2)]
    for name, quantum in (("leases", None), ("none", 0)):
        settings = {"max_loras": SLOTS, "max_cpu_loras": 16}
        if quantum is not None:
            settings["adapter_quantum_ms"] = quantum
        with (
            served(world, f"waits-{name}", world.names[:4], **settings) as server,
            Streams(server.target, routes, MAX_TOKENS) as streams,
        ):
            time.sleep(2)
            seen = streams.during(seconds)
        tokens = sum(one.tokens for one in seen) / seconds
        by_route = {route: [one.first for one in seen if one.route == route] for route in sorted(set(routes))}
        result[name] = {
            "waited": spread([one.adapter_wait_ms / 1000 for one in seen]),
            "longest wait ms": max(one.adapter_wait_ms for one in seen),
            "latest first token ms": 1000 * max(one.first for one in seen),
            "answers by adapter": {route: len(found) for route, found in by_route.items()},
            "tokens per second": tokens,
            "stream_ms": 1000 * statistics.median(sum(one.gaps) for one in seen),
        }
        say(f"waits, {name}: {result[name]}")
    return result


def speeds(world: AdapterWorld, rounds: int, seconds: float, say: Say) -> dict[str, Any]:
    """Tokens/s with the adapters' machinery on and off, and of an adapter and the same merged. All are up at once, and
    take turns in each round."""
    one = world.names[0]
    merged = _merged(world, one)
    systems: dict[str, tuple[ServerProcess, str]] = {}
    cells: dict[str, list[float]] = {}
    with ExitStack() as stack:
        on = stack.enter_context(served(world, "on", [one], max_loras=4))
        off = stack.enter_context(served(world, "off", [], enable_lora=False))
        whole = stack.enter_context(served(world, "merged", [], model=merged, enable_lora=False))
        systems = {"base, LoRA off": (off, BASE), "base, LoRA on": (on, BASE), "adapter": (on, one),
                   "merged": (whole, BASE)}  # fmt: skip
        for turn in range(rounds):
            order = list(systems)[turn % 4 :] + list(systems)[: turn % 4]
            for name in order:
                server, route = systems[name]
                with Streams(server.target, [route] * STREAMS, MAX_TOKENS) as streams:
                    time.sleep(1)
                    seen = streams.during(seconds)
                cells.setdefault(name, []).append(sum(found.tokens for found in seen) / seconds)
                say(f"speed, round {turn + 1}/{rounds}, {name}: {cells[name][-1]:.0f} tokens/s")
    return cells


def _merged(world: AdapterWorld, name: str) -> Path:
    """The base with the adapter in its weights, by the command that operators use."""
    folder = world.folder / "merged"
    command = [sys.executable, "-m", "trivet.cli", "adapter", "merge", f"{name}@1", "--to", str(folder)]
    subprocess.run([*command, "--config", str(world.config("merge", [name]))], check=True, stdout=subprocess.DEVNULL)
    return folder


def many(world: AdapterWorld, numbers: tuple[int, ...], say: Say) -> dict[str, Any]:
    """The cost of having many: what a load and a request cost when so many are loaded already, and the memory."""
    result: dict[str, Any] = {}
    with served(world, "many", [], max_loras=4, max_cpu_loras=16) as server, Client(server.target) as client:
        loaded = 0
        for number in numbers:
            for name in world.names[loaded : max(loaded, number - 20)]:
                client.load_adapter(f"{name}@1")
            registering = []
            for name in world.names[max(loaded, number - 20) : number]:
                begun = time.perf_counter()
                client.load_adapter(f"{name}@1")
                registering.append(time.perf_counter() - begun)
            loaded = number
            asked = [ask(client, BASE, 1000 * number + n, 2) for n in range(300)]
            result[str(number)] = {
                "load": spread(registering),
                "routing p50 ms": statistics.median(one.gateway_ms for one in asked),
                "gateway MiB": resident_bytes(server.pid) / 2**20,
                "engine MiB": sum(resident_bytes(pid) for pid in descendants(server.pid)) / 2**20,
            }
            say(f"many, {number}: {result[str(number)]}")
    return result
