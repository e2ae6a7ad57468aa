"""Both parts: gateways in turn, and the processor's time of each per request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

from benchmarks.measuring.cpu_time import cpu_seconds
from benchmarks.measuring.servers import TrivetServer
from benchmarks.measuring.workload import MODEL_NAME, PLAIN_ROUTE, SEARCH_ROUTE, Workload
from benchmarks.overheads.features import ENGINE, SCRIPTED, Comparison, names
from benchmarks.path.load.worker import Worker
from benchmarks.path.plan import Progress

LATE_WORK = 0.3  # seconds: lines of the log, after the last answer
EXPORTED = 1.3  # and spans, which are sent once a second
SHARES = (0.0, 0.1, 1.0)  # of the requests that are traced
ALONE = 4000  # requests of a round without a gateway


@dataclass(frozen=True, slots=True)
class Batch:
    """How many requests go to a gateway before it is the next one's turn, and how many of them at once."""

    requests: int
    streams: int
    rounds: int


Turn = Callable[[str], float]
"""A batch for the gateway of that name: seconds of the processor for each request."""


Pair = tuple[float, float]
"""Seconds of a request for the dear one of two gateways, and for the cheap one."""


def scripted(folder: Path, batch: Batch, progress: Progress) -> list[list[Pair]]:
    """By round: a pair for each comparison."""
    with ExitStack() as stack:
        endpoint = stack.enter_context(collector())
        gateways = Worker("benchmarks.overheads.gateways", [str(folder), endpoint], folder / "gateways.log")
        stack.enter_context(gateways)
        load = stack.enter_context(Worker("benchmarks.overheads.load", [], folder / "load.log"))
        addresses = gateways.ask(do="addresses")

        def turn(name: str) -> float:
            before = cpu_seconds(gateways.pid)
            load.ask(address=addresses[name], route="plain", requests=batch.requests, streams=batch.streams)
            gateways.ask(do="settle")
            return (cpu_seconds(gateways.pid) - before) / batch.requests

        return _rounds(SCRIPTED, turn, batch.rounds, progress)


def tracing_alone(folder: Path, rounds: int, progress: Progress) -> dict[float, list[float]]:
    """By the share of the requests that are traced: seconds of the processor for each request, by round."""
    found: dict[float, list[float]] = {share: [] for share in SHARES}
    with ExitStack() as stack:
        endpoint = stack.enter_context(collector())
        worker = Worker("benchmarks.overheads.tracing", [endpoint], folder / "tracing.log")
        stack.enter_context(worker)
        for number in range(rounds + 1):
            taken = {share: worker.ask(share=share, requests=ALONE)["seconds"] for share in SHARES}
            told = ", ".join(f"{1e6 * one:.1f}" for one in taken.values())
            progress(f"tracing alone, round {number} of {rounds}: {told} µs")
            if number:
                for share, seconds in taken.items():
                    found[share].append(seconds)
    return found


def with_engine(folder: Path, batch: Batch, progress: Progress) -> list[list[Pair]]:
    """The same of whole servers with engines of their own; the processor's time is the gateway process's alone."""
    workload = Workload(folder / "workload")
    workload.make()
    with ExitStack() as stack:
        endpoint = stack.enter_context(collector())
        servers: dict[str, TrivetServer] = {}
        for name in names(ENGINE):
            servers[name] = stack.enter_context(TrivetServer(_configured(workload, name, endpoint)))
            progress(f"engine: {name} is up")
        load = stack.enter_context(Worker("benchmarks.overheads.load", [], folder / "load-engine.log"))

        def turn(name: str) -> float:
            server = servers[name]
            before = cpu_seconds(server.pid)
            load.ask(address=server.target.address, route=PLAIN_ROUTE, requests=batch.requests, streams=batch.streams)
            time.sleep(EXPORTED if name.startswith("traced") else LATE_WORK)
            return (cpu_seconds(server.pid) - before) / batch.requests

        return _rounds(ENGINE, turn, batch.rounds, progress)


def _rounds(comparisons: tuple[Comparison, ...], turn: Turn, rounds: int, progress: Progress) -> list[list[Pair]]:
    """Each comparison once a round: dear, cheap, cheap, dear, or the other way round, so that what changes steadily
    meanwhile changes nothing. One round that is not counted comes first."""
    found: list[list[Pair]] = []
    for number in range(rounds + 1):
        pairs = []
        for place, one in enumerate(comparisons):
            first, second = (one.dear, one.cheap) if (place + number) % 2 else (one.cheap, one.dear)
            taken = {one.dear: 0.0, one.cheap: 0.0}
            for name in (first, second, second, first):
                taken[name] += turn(name) / 2
            pairs.append((taken[one.dear], taken[one.cheap]))
        found.append(pairs)
        told = [f"{dear / cheap:.3f}" for dear, cheap in pairs]
        progress(f"round {number} of {rounds}: {' '.join(told)}")
    return found[1:]


def _configured(workload: Workload, name: str, endpoint: str) -> Workload:
    """A copy of the configuration for one server, in a folder of its own."""
    place = workload.folder / name.replace(" ", "-")
    place.mkdir()
    config: dict[str, Any] = yaml.safe_load(workload.config.read_text())
    config["routes"].pop(SEARCH_ROUTE)
    config["indexes"] = {}
    prices = {"input_per_million_tokens": 0.2, "cached_per_million_tokens": 0.02, "output_per_million_tokens": 0.6}
    if name == "machine":
        config["machines"] = {MODEL_NAME: {"usd_per_hour": 2.5}}
    else:
        config["prices"] = {MODEL_NAME: prices}
    if name == "limits":
        day = {"per": "day", "requests": 10**12, "tokens": 10**14}
        config["budgets"] = {"default": [day, {"per": "month", "tokens": 10**14, "usd": 10**7}]}
    if name.startswith("traced"):
        config["tracing"] = {"endpoint": endpoint, "share": 0.1 if name.endswith("0.1") else 1.0}
    made = Workload(place)
    made.config.write_text(yaml.safe_dump(config, sort_keys=False))
    return made


@contextmanager
def collector() -> Iterator[str]:
    """Takes spans and throws them away; where it listens."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """As a collector would say it."""
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
        finally:
            server.shutdown()
            thread.join()
