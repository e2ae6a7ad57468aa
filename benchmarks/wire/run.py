"""The same requests to a gateway with its engine in process, and to one whose engine is a node's."""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.fleet.nodes import ENGINE, Node, gateway_config
from benchmarks.fleet.served import scrape
from benchmarks.measuring.cpu_time import cpu_seconds
from benchmarks.measuring.processes import command_line, descendants
from trivet.api.v1 import inference_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import Target
from trivet.client.aio import AsyncClient

ROUTE = "base"
SETTLE = 1.0  # seconds before each window


@dataclass(frozen=True)
class Window:
    """Of one system and number of streams. CPU in seconds for 1,000 output tokens; `first` in ms, the median."""

    tokens_per_second: float
    gateway: float
    node: float
    engine: float
    first: float


class System:
    """One way of serving: its gateway, and where the engine is."""

    def __init__(self, name: str, server: ServerProcess, node: Node | None) -> None:
        self.name = name
        self._server = server
        self._node = node
        self._front = server.pid if node is None else node.pid

    def window(self, streams: int, seconds: float) -> Window:
        """Measure it once."""
        return asyncio.run(self._window(streams, seconds))

    async def _window(self, streams: int, seconds: float) -> Window:
        stop = asyncio.Event()
        first: list[float] = []
        asking = [asyncio.create_task(_ask(self._server.target, number, stop, first)) for number in range(streams)]
        await asyncio.sleep(SETTLE)
        first.clear()
        begun, before, tokens = time.monotonic(), self._cpu(), self._tokens()
        await asyncio.sleep(seconds)
        after, brought = self._cpu(), self._tokens() - tokens
        took = time.monotonic() - begun
        stop.set()
        await asyncio.gather(*asking)
        gateway, node, engine = (1000 * (now - then) / brought for then, now in zip(before, after, strict=True))
        return Window(brought / took, gateway, node, engine, 1000 * statistics.median(first))

    def _cpu(self) -> tuple[float, float, float]:
        """Of the gateway, of the node, of the engine."""
        node = 0.0 if self._node is None else cpu_seconds(self._node.pid)
        engines = [pid for pid in descendants(self._front) if "vector" not in command_line(pid)]
        return cpu_seconds(self._server.pid), node, sum(map(cpu_seconds, engines))

    def _tokens(self) -> float:
        samples = scrape(self._server.metrics_address, 20.0)
        return sum(
            value for (name, labels), value in samples.items() if name == "trivet_tokens_total" and "output" in labels
        )


async def _ask(target: Target, number: int, stop: asyncio.Event, first: list[float]) -> None:
    await asyncio.sleep(number * 0.5 / (1 + number))
    async with AsyncClient(target, timeout=120) as client:
        for turn in range(10**6):
            if stop.is_set():
                return
            text = f"The pump of machine {number} leaks for the {turn}th time. What now?"
            message = inference_pb2.Message(role="user", content=text)
            begun, told = time.monotonic(), False
            request = inference_pb2.GenerateRequest(route=ROUTE, messages=[message])
            async for event in client.generate_stream(request):
                if not told and not event.HasField("final"):
                    told = True
                    first.append(time.monotonic() - begun)


def measure(folder: Path, streams: list[int], rounds: int, seconds: float) -> dict[tuple[int, str], list[Window]]:
    """Both systems are up at once, and are measured in turn, in an order that changes by round."""
    found: dict[tuple[int, str], list[Window]] = {}
    with ExitStack() as stack:
        node = stack.enter_context(Node(folder, 1, max_num_seqs=128))
        node.wait()
        remote = _served(stack, folder / "remote", gateway_config(folder / "remote", [node], running=128))
        own = _served(stack, folder / "embedded", embedded_config(folder / "embedded"))
        systems = [System("embedded", own, None), System("node", remote, node)]
        for number in range(rounds):
            for count in streams:
                for system in systems if number % 2 else reversed(systems):
                    found.setdefault((count, system.name), []).append(system.window(count, seconds))
    return found


def embedded_config(folder: Path) -> Path:
    """The same as `gateway_config`, with the engine in the gateway."""
    path = gateway_config(folder, [], running=128)
    settings = yaml.safe_load(path.read_text())
    settings["backends"]["fleet"] = {**ENGINE, "max_num_seqs": 128}
    path.write_text(yaml.safe_dump(settings))
    return path


def _served(stack: ExitStack, folder: Path, config: Path) -> ServerProcess:
    return stack.enter_context(ServerProcess(config, folder / "data", output=folder / "log"))
