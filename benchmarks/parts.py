"""The parts of the benchmark. Each returns plain mappings: what was measured, nothing yet judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from servers import TrivetServer, VllmServer, engine_environment
from worker import Worker
from workload import INDEX, MAX_QUEUED, MAX_RUNNING, PLAIN_ROUTE, SEARCH_ROUTE, Workload

from trivet.client import Client, Target

BARE, TRIVET, VLLM = "bare", "trivet", "vllm"
SYSTEMS = (BARE, TRIVET, VLLM)
STRIDE = 400  # prompts between the beginnings of two cells, so that none meets an earlier one's
RETRIEVAL_STREAMS = 8
OVERLOAD = 10
BURSTS = 3
REPEATED = "What is the weight of the Orlo Hub?"
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    workload: Workload
    streams: tuple[int, ...]
    rounds: int
    seconds: float
    stream_interval: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class Stand:
    """A running Trivet server, its index built, and a load generator."""

    server: TrivetServer
    load: Worker

    def target(self, route: str) -> dict[str, Any]:
        """For the load generator's commands."""
        return {"trivet": self.server.address, "route": route}


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
    with TrivetServer(plan.workload) as server, Worker("load_generator.py", [str(plan.workload.folder)], log) as load:
        _build_index(server)
        plan.progress(f"trivet is ready after {server.started:.1f} s")
        yield Stand(server, load)


def measure_path(plan: Plan, trivet: Stand) -> dict[str, Any]:
    """The three systems in turn, all numbers of streams, `rounds` times."""
    folder = plan.workload.folder
    cells: list[dict[str, Any]] = []
    with ExitStack() as stack:
        bare = Worker("bare_engine.py", [str(folder)], folder / "bare.log", engine_environment(folder))
        stack.enter_context(bare)
        described = bare.ask(do="describe")
        plan.progress("bare AsyncLLM is ready")
        vllm = stack.enter_context(VllmServer(plan.workload, plan.stream_interval))
        plan.progress(f"vLLM's server is ready after {vllm.started:.1f} s")
        http = {"vllm": [vllm.host, vllm.port]}
        _expect_same_text(described, trivet, http)

        def measure(system: str, streams: int, offset: int) -> dict[str, Any]:
            command = {"do": "measure", "streams": streams, "seconds": plan.seconds, "offset": offset}
            if system == BARE:
                processes = {"front": [bare.pid], "engine": described["engine"]}
                return bare.ask(**command, processes=processes)
            server, target = (trivet.server, trivet.target(PLAIN_ROUTE)) if system == TRIVET else (vllm, http)
            processes = {**server.processes(), "load": [trivet.load.pid]}
            return trivet.load.ask(**command, target=target, processes=processes)

        for turn in range(plan.rounds):
            order = SYSTEMS[turn % len(SYSTEMS) :] + SYSTEMS[: turn % len(SYSTEMS)]
            for number, streams in enumerate(plan.streams):
                for system in order:
                    offset = STRIDE * (turn * len(plan.streams) + number)
                    cell = measure(system, streams, offset)
                    cells.append({"round": turn, "system": system, "streams": streams, **cell})
                    speed = cell["tokens"] / cell["seconds"]
                    plan.progress(
                        f"round {turn + 1}/{plan.rounds}, {streams:2} streams, {system}: {speed:,.0f} tokens/s"
                    )
    return {"cells": cells}


def measure_retrieval(plan: Plan, trivet: Stand) -> dict[str, Any]:
    """Searches beside streams without retrieval, and then streams that search themselves."""
    results: dict[str, Any] = {}
    same = f"same:{REPEATED}"
    fresh = f"fresh:{trivet.server.pid}"
    beside = trivet.load.ask(
        do="beside",
        target=trivet.target(PLAIN_ROUTE),
        streams=RETRIEVAL_STREAMS,
        seconds=plan.seconds * 2,
        offset=0,
        texts=[fresh, same],
    )
    results["beside"] = {"fresh": beside[fresh]["receipts"], "repeated": beside[same]["receipts"]}
    plan.progress("retrieval beside streams is done")
    results["within"] = {}
    for name, texts in (("fresh", f"{fresh}-within"), ("repeated", same)):
        cell = trivet.load.ask(
            do="measure",
            target=trivet.target(SEARCH_ROUTE),
            streams=RETRIEVAL_STREAMS,
            seconds=plan.seconds,
            texts=texts,
            processes=trivet.server.processes(),
        )
        results["within"][name] = cell["receipts"]
    plan.progress("retrieval within streams is done")
    return results


def measure_overload(plan: Plan, trivet: Stand) -> dict[str, Any]:
    """Ten times what fits, at once."""
    number = OVERLOAD * (MAX_RUNNING + MAX_QUEUED)
    result = trivet.load.ask(do="burst", address=trivet.server.address, number=number, times=BURSTS)
    plan.progress(f"overload: {len(result['refused'])} requests refused")
    return {"requests": number, "bursts": BURSTS, **result}


def _expect_same_text(described: dict[str, Any], trivet: Stand, http: dict[str, Any]) -> None:
    """The same prompt gets the same answer everywhere, or they would not do the same work."""
    ours = trivet.load.ask(do="one", target=trivet.target(PLAIN_ROUTE))
    theirs = trivet.load.ask(do="one", target=http)
    for other in (ours, theirs):
        if (other["text"], other["tokens"]) != (described["text"], described["tokens"]):
            raise RuntimeError(f"the systems do not answer alike: {described} and {other}")


def _build_index(server: TrivetServer) -> None:
    with Client(Target(address=server.address, admin_address=server.admin_address)) as client:
        for _ in client.build_index(INDEX):
            pass
