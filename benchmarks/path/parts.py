"""Start, retrieval and overload. Each part returns plain mappings: what was measured, nothing yet judged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from benchmarks.measuring.servers import TrivetServer, process_groups
from benchmarks.measuring.workload import INDEX, MAX_QUEUED, MAX_RUNNING, PLAIN_ROUTE, SEARCH_ROUTE
from benchmarks.path.load.worker import Worker
from benchmarks.path.patience import Patience
from benchmarks.path.plan import WindowPlan
from trivet.client import Client

RETRIEVAL_STREAMS = 8
OVERLOAD = 10
BURSTS = 3
REPEATED = "What is the weight of the Orlo Hub?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(WindowPlan):
    """What to run. `stream_interval`: tokens per event of vLLM's server."""

    stream_interval: int
    patience: Patience


@dataclass(frozen=True, slots=True)
class Stand:
    """A running Trivet server, its index built, and a load generator."""

    server: TrivetServer
    load: Worker

    def target(self, route: str) -> dict[str, Any]:
        """For the load generator's commands."""
        return {"trivet": self.server.target.address, "route": route}


def measure_starts(plan: Plan, number: int) -> dict[str, Any]:
    """From the process's start to `server.json`, `number` times after a first one that fills the caches."""
    plan.progress("start: filling the caches")
    with TrivetServer(plan.workload) as server:
        _build_index(server)
    seconds = []
    for _ in range(number):
        with TrivetServer(plan.workload) as server:
            seconds.append(server.started)
        plan.progress(f"start: {seconds[-1]:.1f} s")
    return {"warm": seconds}


@contextmanager
def stand(plan: Plan) -> Iterator[Stand]:
    """Start Trivet and the load generator."""
    log = plan.workload.folder / "load.log"
    with (
        TrivetServer(plan.workload) as server,
        Worker("benchmarks.path.load", [str(plan.workload.folder)], log) as load,
    ):
        _build_index(server)
        plan.progress(f"trivet is ready after {server.started:.1f} s")
        yield Stand(server, load)


def measure_retrieval(plan: Plan, trivet: Stand) -> dict[str, Any]:
    """Searches beside streams without retrieval, and then streams that search themselves."""
    labels = count()

    def window(command: dict[str, Any], kind: str) -> dict[str, Any]:
        texts = f"same:{REPEATED}" if kind == "repeated" else f"fresh:{trivet.server.pid}.{next(labels)}"
        processes = {**process_groups(trivet.server.pid), "load": [trivet.load.pid]}
        return trivet.load.ask(**command, streams=RETRIEVAL_STREAMS, texts=texts, processes=processes)

    beside = {"do": "beside", "target": trivet.target(PLAIN_ROUTE), "seconds": 2 * plan.seconds}
    within = {"do": "measure", "target": trivet.target(SEARCH_ROUTE), "seconds": plan.seconds}
    results: dict[str, Any] = {}
    for place, command in (("beside", beside), ("within", within)):
        results[place] = {}
        for kind in ("fresh", "repeated"):
            cell = plan.patience.measure(partial(window, command, kind))
            results[place][kind] = cell["receipts"]
            plan.progress(f"retrieval {place} streams, {kind} query: {len(cell['receipts'])} requests")
    return results


def measure_overload(plan: Plan, trivet: Stand) -> dict[str, Any]:
    """Ten times what fits, at once."""
    number = OVERLOAD * (MAX_RUNNING + MAX_QUEUED)
    result = trivet.load.ask(do="burst", address=trivet.server.target.address, number=number, times=BURSTS)
    plan.progress(f"overload: {len(result['refused'])} requests refused")
    return {"requests": number, "bursts": BURSTS, **result}


def _build_index(server: TrivetServer) -> None:
    with Client(server.target) as client:
        for _ in client.build_index(INDEX):
            pass
