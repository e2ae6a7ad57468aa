"""The parts of the check: each starts what it needs and tells what it found as Markdown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.adapters.load import Streams, ask
from benchmarks.adapters.parts import loads, served
from benchmarks.adapters.world import BASE, MAX_TOKENS, AdapterWorld
from benchmarks.gpu.model import make_8b, make_adapter
from benchmarks.measuring.tables import table
from benchmarks.measuring.workload import CONTEXT, Workload
from benchmarks.peers.report import added, ratios
from benchmarks.peers.running import BARE, GRPC, RUST, VLLM, PeersPlan, measure_peers
from trivet.api.v1 import inference_pb2
from trivet.client import Client

Say = Callable[[str], None]
ADAPTERS = 4
RANK = 8
BEGINNING = 24  # characters that two answers have to share
QUESTIONS = ("The pump leaks.", "How long is the lamp?", "Which form do I need?", "When does the gate open?")


@dataclass(frozen=True)
class Scale:
    """How large everything is. `engine`: vLLM's arguments that are other than on a CPU."""

    tiny: bool
    streams: tuple[int, ...]
    rounds: int
    seconds: float
    engine: Mapping[str, Any]
    names: list[str] = field(default_factory=lambda: [f"a{number:03d}" for number in range(ADAPTERS + 8)])

    def make(self, folder: Path, say: Say) -> None:
        """The model, the adapters, and the settings of all engines."""
        world = GpuWorld(folder, self.names, self.engine)
        if self.tiny:
            AdapterWorld.make(world, len(self.names))
        else:
            make_8b(world.model, CONTEXT)
            for seed, name in enumerate(self.names):
                make_adapter(world.adapters / name / "1", seed, RANK)
        (folder / "peers").mkdir()
        (folder / "peers" / "engine.json").write_text(json.dumps(self.engine))
        (folder / "peers" / "model").symlink_to(world.model)
        say("model and adapters are written")

    def world(self, folder: Path) -> GpuWorld:
        """For the parts with adapters."""
        return GpuWorld(folder, self.names, self.engine)


@dataclass
class GpuWorld(AdapterWorld):
    """The adapters' benchmark, with other settings of the engine."""

    engine: Mapping[str, Any] = field(default_factory=dict)

    def config(self, name: str, adapters: Any, *, model: Path | None = None, **backend: Any) -> Path:
        """As there."""
        own = {key: value for key, value in self.engine.items() if key != "enforce_eager"}
        return super().config(name, adapters, model=model, **(own | backend))


def front_ends(scale: Scale, folder: Path, rust: Path | None, say: Say) -> str:
    """Trivet beside AsyncLLM alone and vLLM's front ends."""
    workload = Workload(folder / "peers")
    workload.make()
    systems = [BARE, GRPC, VLLM, *([RUST] if rust else [])]
    plan = PeersPlan(
        workload=workload, streams=scale.streams, rounds=scale.rounds, seconds=scale.seconds, progress=say,
        systems=systems, rust=rust,
    )  # fmt: skip
    found = measure_peers(plan)
    rows = []
    for streams in scale.streams:
        for system in systems:
            own = [cell for cell in found["cells"] if (cell["streams"], cell["system"]) == (streams, system)]
            to_vllm = median(ratios(found["cells"], system, VLLM, streams))
            speed, cpu = median(cell["tokens"] / cell["seconds"] for cell in own), median(map(added, own))
            first = median(time for cell in own for time in cell["ttft_ms"])
            rows.append((streams, system, f"{speed:,.0f}", f"{cpu:.4f}", f"{to_vllm:.2f}", f"{first:.1f}"))
    head = ("streams", "system", "tokens/s", "CPU s per 1,000 tokens", "to vLLM's Python server", "TTFT p50 ms")
    return "\n".join(table(head, rows))


def isolation(scale: Scale, folder: Path, _: Path | None, say: Say) -> str:
    """No answer comes from other weights than it was asked for, whatever is in the batch."""
    world = scale.world(folder)
    routes = [BASE, *world.names[:ADAPTERS]]
    with served(world, "isolation", routes[1:], max_loras=ADAPTERS) as server, Client(server.target) as client:

        def answer(route: str, question: str) -> str:
            return client.generate(_asked(route, question)).text[:BEGINNING]

        alone = {(route, question): answer(route, question) for route in routes for question in QUESTIONS}
        with ThreadPoolExecutor(len(alone)) as pool:
            together = dict(zip(alone, pool.map(lambda pair: answer(*pair), alone), strict=True))
    own = sum(together[pair] == alone[pair] for pair in alone)
    others = sum(
        together[route, question] == alone[other, question]
        for route, question in alone for other in routes
        if other != route and alone[other, question] != alone[route, question]
    )  # fmt: skip
    say(f"isolation: {own} of {len(alone)} as alone, {others} as another's")
    if others or own < 0.9 * len(alone):
        raise AssertionError(f"{own} of {len(alone)} answers begin as alone, and {others} as another adapter's")
    return f"{own} of {len(alone)} answers in a mixed batch begin as they do alone; none begins as another adapter's."


def _asked(route: str, text: str) -> inference_pb2.GenerateRequest:
    return inference_pb2.GenerateRequest(route=route, messages=[inference_pb2.Message(role="user", content=text)])


def swaps(scale: Scale, folder: Path, _: Path | None, say: Say) -> str:
    """What loading and unloading does to streams."""
    found = loads(scale.world(folder), 8, scale.rounds, say)
    rows = [("a load, idle", *found["idle"].values()), ("a load beside streams", *found["under load"].values())]
    for turn in found["rounds"]:
        rows += [(f"between messages, {name}", *turn[name].values()) for name in ("quiet", "swapping")]
    return "\n".join(
        table(("what", "p50 ms", "p99 ms", "number"), [(a, f"{b:.1f}", f"{c:.1f}", n) for a, b, c, n in rows])
    )


def prefix_cache(scale: Scale, folder: Path, _: Path | None, say: Say) -> str:
    """The first token of a prompt whose prefix is in the cache."""
    world = scale.world(folder)
    with served(world, "prefix", [], enable_lora=False) as server, Client(server.target) as client:
        warm = [ask(client, BASE, number, 2) for number in range(20)]
        receipts = [client.generate(_asked(BASE, f"Ticket {number}")).receipt for number in range(5)]
    cached, given = receipts[-1].cached_tokens, receipts[-1].input_tokens
    expected = receipts[-1].expected_cached_tokens
    say(f"prefix: {cached} of {given} tokens cached, {expected} expected")
    if cached < expected:
        raise AssertionError(f"{cached} tokens cached, expected at least {expected}")
    return (
        f"{cached} of {given} tokens of a prompt are cached ({expected} expected); "
        f"first token after {1000 * median(one.first for one in warm):.1f} ms."
    )


def lora_cost(scale: Scale, folder: Path, _: Path | None, say: Say) -> str:
    """Tokens/s with LoRA off, on and unused, and used."""
    world, cells = scale.world(folder), {}
    one, streams = world.names[0], scale.streams[-1]
    for title, name, adapters, settings, route in (
        ("LoRA off", "off", [], {"enable_lora": False}, BASE),
        ("LoRA on, unused", "on", [one], {"max_loras": ADAPTERS}, BASE),
        ("one adapter", "one", [one], {"max_loras": ADAPTERS}, one),
    ):  # fmt: skip
        with (
            served(world, f"lora-{name}", adapters, **settings) as server,
            Streams(server.target, [route] * streams, MAX_TOKENS) as running,
        ):
            running.during(scale.seconds / 2)
            seen = running.during(scale.seconds)
        cells[title] = sum(found.tokens for found in seen) / scale.seconds
        say(f"{title}: {cells[title]:,.0f} tokens/s")
    off = cells["LoRA off"]
    return "\n".join(
        table(("base", "tokens/s", "to LoRA off"), [(n, f"{v:,.0f}", f"{v / off:.2f}") for n, v in cells.items()])
    )
