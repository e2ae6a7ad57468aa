"""Processor time for 1,000 tokens, by kind of process: one gateway with its engine, and several front ends over it.

    python -m benchmarks.front_ends
    python -m benchmarks.front_ends --profile --processes 2 --streams 32     where the time goes, by function's owner

The demo's model and adapter, short answers, so many connections with one request each at a time. The busiest single
Python process is the ceiling that several processes are for: its seconds for 1,000 tokens say how many tokens a second
it can bring at most, however fast the engine is. Processor time holds on a busy machine; the tokens a second do not.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import yaml

from benchmarks.fleet.nodes import ENGINE, ROOT
from benchmarks.front_ends.profile import sample, sampled
from benchmarks.measuring.machine import command, describe, machine_lines
from benchmarks.measuring.processes import descendants
from tests.support.processes import cpu_seconds
from tests.support.stores.postgres_server import postgres_server
from trivet.api.v1 import inference_pb2, inference_pb2_grpc
from trivet.cli.server.process import ServerProcess

WINDOWS = 2
ENGINE_CORE = "engine core"
OWN = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
TITLES = {" front-end ": "front end", " engine ": "engine process", "trivet.vector": "vector", " serve ": "serve"}


@dataclass(frozen=True, slots=True)
class Window:
    """CPU seconds for 1,000 tokens, of each process by kind; `engine core` is the engine itself."""

    used: Mapping[str, list[float]]
    tokens: int
    seconds: float

    @property
    def busiest(self) -> float:
        """Of the Python processes that tokens go through."""
        return max(one for kind, each in self.used.items() if kind != ENGINE_CORE for one in each)


def main() -> None:
    """Measure each and print a table of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--streams", type=int, nargs="+", default=[8, 32, 128])
    parser.add_argument("--answers", type=int, default=256, help="in each of two windows, all streams together")
    parser.add_argument("--profile", action="store_true", help="sample the processes instead")
    given = parser.parse_args()
    machine = machine_lines(describe(ROOT))
    rows: dict[tuple[int, int], list[Window]] = defaultdict(list)
    with postgres_server() as database, tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if given.profile:
            stack.enter_context(sampled(Path(folder)))
        for processes in given.processes:
            place = Path(folder) / str(processes)
            config = _config(place, processes, database.new_database(), max(given.streams))
            with ServerProcess(config, place / "data", output=place / "log") as server:
                for streams in given.streams:
                    asyncio.run(_load(server.target.address, streams, 1))
                    if given.profile:
                        print(*_profile(Path(folder), server, streams, given.answers // streams), sep="\n", flush=True)
                        continue
                    for _ in range(WINDOWS):
                        window = _window(server, streams, max(1, given.answers // streams))
                        rows[processes, streams].append(window)
                        print(processes, streams, window, file=sys.stderr, flush=True)
    print(*(table(rows) if rows else ()), "", *machine, f"- `{command('front_ends')}`", sep="\n")


def table(rows: Mapping[tuple[int, int], list[Window]]) -> list[str]:
    """By processes and streams; the windows of a cell one after the other."""
    kinds = sorted({kind for windows in rows.values() for window in windows for kind in window.used})
    lines = ["| processes | streams | " + " | ".join(kinds) + " | busiest Python process | tokens/s |"]
    lines.append("|---" * (len(kinds) + 4) + "|")
    for (processes, streams), windows in rows.items():
        cells = [", ".join(_told(window.used.get(kind, [])) for window in windows) for kind in kinds]
        cells.append(", ".join(f"{window.busiest:.3f}" for window in windows))
        cells.append(", ".join(f"{window.tokens / window.seconds:.0f}" for window in windows))
        lines.append(f"| {processes} | {streams} | " + " | ".join(cells) + " |")
    return lines


def _profile(folder: Path, server: ServerProcess, streams: int, requests: int) -> list[str]:
    kinds = {pid: kind for pid, (kind, _) in _used(server.pid).items()}
    work = partial(_load, server.target.address, streams, max(1, requests))
    return [f"{streams} streams", *sample(folder, kinds, lambda: asyncio.run(work()))]


def _told(each: list[float]) -> str:
    return " + ".join(f"{one:.3f}" for one in each) or "none"


def _config(folder: Path, processes: int, state: str, streams: int) -> Path:
    folder.mkdir()
    variant = {
        "weight": 1, "backend": "local", "prompt": "support-json@2", "adapter": "json-answer@1",
        "sampling": {"max_tokens": 64},
    }  # fmt: skip
    settings = {
        "server": {"processes": processes},
        "state": {"url": state},
        "admission": {"max_running": streams, "max_queued": streams},
        "backends": {"local": {**ENGINE, "max_num_seqs": streams}},
        "prompts": str(ROOT / "prompts"),
        "adapters": [str(ROOT / "adapters")],
        "routes": {"json": {"variants": {"a": variant}}},
    }
    (folder / "trivet.yaml").write_text(yaml.safe_dump(settings))
    return folder / "trivet.yaml"


def _window(server: ServerProcess, streams: int, requests: int) -> Window:
    before, started = _used(server.pid), time.monotonic()
    tokens = asyncio.run(_load(server.target.address, streams, requests))
    seconds, after = time.monotonic() - started, _used(server.pid)
    by_kind: dict[str, list[float]] = defaultdict(list)
    for pid, (kind, used) in after.items():
        by_kind[kind].append(1000 * (used - before.get(pid, (kind, 0.0))[1]) / tokens)
    return Window(by_kind, tokens, seconds)


def _used(root: int) -> Mapping[int, tuple[str, float]]:
    """Kind and seconds of processor time of each process below this one."""
    found = {}
    for pid in (root, *descendants(root)):
        with suppress(OSError):
            found[pid] = (_kind(pid), cpu_seconds(pid))
    return found


def _kind(pid: int) -> str:
    title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    if "EngineCore" in title + Path(f"/proc/{pid}/comm").read_text():
        return ENGINE_CORE
    return next((kind for words, kind in TITLES.items() if words in title), "other")


async def _load(address: str, streams: int, requests: int) -> int:
    """Ask on each connection, one request after the other; how many tokens came."""
    async with AsyncExitStack() as stack:
        channels = [grpc.aio.insecure_channel(address, options=OWN) for _ in range(streams)]
        for channel in channels:
            stack.push_async_callback(channel.close)
        asking = (_ask(channel, number, requests) for number, channel in enumerate(channels))
        return sum(await asyncio.gather(*asking))


async def _ask(channel: grpc.aio.Channel, connection: int, requests: int) -> int:
    stub = inference_pb2_grpc.InferenceStub(channel)  # type: ignore[no-untyped-call,unused-ignore]
    tokens = 0
    for number in range(requests):
        text = f"Ticket {connection}-{number}: the pump leaks. What now?"
        message = inference_pb2.Message(role="user", content=text)
        async for event in stub.GenerateStream(inference_pb2.GenerateRequest(route="json", messages=[message])):
            if event.HasField("final"):
                tokens += event.final.receipt.output_tokens
    return tokens


if __name__ == "__main__":
    main()
