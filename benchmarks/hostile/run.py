"""One run: the streams alone, beside harmless requests, beside hostile ones, and each kind by itself."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from benchmarks.hostile.client import Outcome, Where, in_own_process, send
from benchmarks.hostile.kind import HARMLESS, Kind
from benchmarks.hostile.kinds import kinds
from benchmarks.hostile.loop_lag import lag_counts, late
from benchmarks.hostile.streams import Streams
from benchmarks.measuring.cpu_time import cpu_seconds
from benchmarks.measuring.keys import add_keys
from benchmarks.measuring.processes import open_files, resident_bytes
from benchmarks.measuring.servers import TrivetServer
from benchmarks.measuring.wire import ADMIN
from benchmarks.measuring.workload import INDEX, Workload
from trivet.api.v1 import admin_pb2, inference_pb2
from trivet.client import Client, Target

PAUSE = 0.02  # seconds between two samples of memory
PER_KIND = 20
LATE = (0.02, 0.05, 0.1, 0.3)  # seconds, of the metric's buckets


@dataclass
class Results:
    """Everything that was measured. Gaps in seconds by phase; memory in bytes; costs in CPU seconds by kind; how often
    the event loop was later than so many seconds, and how often it was looked at."""

    gaps: dict[str, list[float]] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    costs: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    late: dict[float, tuple[int, int]] = field(default_factory=dict)
    seconds: float = 0.0


def measure(folder: Path, requests: int, rate: float, seconds: float, per_kind: int, seed: int) -> Results:
    """The whole run below `folder`."""
    workload = Workload(folder)
    workload.make()
    add_keys(workload)
    config = yaml.safe_load(workload.config.read_text())
    config["stream"] = {"max_ms": 20}  # what holds up the event loop shows between messages
    workload.config.write_text(yaml.safe_dump(config, sort_keys=False))
    with TrivetServer(workload) as server:
        operator = Target(server.target.address, server.target.admin_address, "operator")
        with Client(operator, timeout=300) as client:
            list(client.build_index(INDEX))
        return asyncio.run(_measure(server, requests, rate, seconds, per_kind, seed))


async def _measure(
    server: TrivetServer, requests: int, rate: float, seconds: float, per_kind: int, seed: int
) -> Results:
    results, known = Results(), kinds()
    where = Where(server.target.address, server.target.admin_address, "hostile")
    order = [number % len(known) for number in range(requests)]
    random.Random(seed).shuffle(order)
    harmless = [number for number, kind in enumerate(known) if kind.name == HARMLESS]
    loop = asyncio.get_running_loop()
    with in_own_process() as process:
        await loop.run_in_executor(process, send, where, range(len(known)), None)  # whatever is made once is made
        results.memory["before"], results.files["before"] = resident_bytes(server.pid), open_files(server.pid)
        async with Streams(server.target.address, "neighbour") as streams:
            results.gaps["alone"] = await streams.during(asyncio.sleep(seconds))
            sent = loop.run_in_executor(process, send, where, harmless * int(rate * seconds), rate)
            results.gaps["harmless"] = await streams.during(sent)
            lag, begun = lag_counts(server.metrics_address), time.monotonic()
            work = loop.run_in_executor(process, send, where, order, rate)
            results.gaps["hostile"] = await streams.during(_watched(work, server.pid, results))
            results.seconds = time.monotonic() - begun
            results.outcomes = await work
            results.problems += streams.problems
            now = lag_counts(server.metrics_address)
            results.late = {bound: late(lag, now, bound) for bound in LATE}
        results.memory["after"], results.files["after"] = resident_bytes(server.pid), open_files(server.pid)
        for number, kind in enumerate(known if per_kind else ()):
            before = cpu_seconds(server.pid)
            outcomes = await loop.run_in_executor(process, send, where, [number] * per_kind, None)
            spent = (cpu_seconds(server.pid) - before) / per_kind
            results.costs[kind.name] = spent - _parsing(kind)
            results.outcomes += outcomes
    results.problems += _judged(known, results.outcomes)
    return results


async def _watched(work: asyncio.Future[list[Outcome]], pid: int, results: Results) -> None:
    """Wait, and look at the memory meanwhile."""
    while not work.done():
        results.memory["most"] = max(results.memory.get("most", 0), resident_bytes(pid))
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(work), PAUSE)


def _judged(known: Sequence[Kind], outcomes: Sequence[Outcome]) -> list[str]:
    """What was answered otherwise than it may be."""
    allowed: Mapping[str, frozenset[str]] = {kind.name: kind.answers for kind in known}
    wrong: dict[tuple[str, str], int] = defaultdict(int)
    for outcome in outcomes:
        if outcome.answer not in allowed[outcome.kind]:
            wrong[outcome.kind, outcome.answer] += 1
    return [f"{kind}: answered {answer}, {count} times" for (kind, answer), count in sorted(wrong.items())]


def _parsing(kind: Kind) -> float:
    """CPU seconds that parsing one message of the kind takes."""
    service = admin_pb2 if ADMIN in kind.method else inference_pb2
    message = getattr(service, f"{kind.method.rpartition('/')[2]}Request", None)
    if message is None:
        return 0.0
    payload, best = kind.payload(0), float("inf")
    for _ in range(5):
        begun = time.process_time()
        with suppress(Exception):  # some kinds cannot be parsed
            message.FromString(payload)
        best = min(best, time.process_time() - begun)
    return best
