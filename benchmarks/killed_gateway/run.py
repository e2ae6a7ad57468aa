"""One run: one server after the other on the same data folder, and what came of it."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click

from benchmarks.chaos.answers import Answers, answers_alone, request
from benchmarks.chaos.world import QUESTIONS, VERSIONS, World, staged_copies
from benchmarks.killed_gateway.desired import Desired
from benchmarks.measuring.processes import descendants
from trivet.api.v1 import admin_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import CallFailed, Client

ROUTED = ("a00", "a01")  # adapters of routes; the lanes have the others
LANES = (("a02", "a03"), ("a04", "a05"))
ADAPTERS = 6
SETTLED = 120.0  # seconds that a restarted server may take to have everything ready, on a busy machine
GONE = 120.0  # seconds that a killed server's children may outlive it, on a busy machine


@dataclass
class Outcome:
    """What happened. `problems` is what must not."""

    desired: Desired = field(default_factory=Desired)
    switches: int = 0
    kills: int = 0
    kills_in_start: int = 0
    outlived: float = 0.0  # seconds that a killed server's children lived on, at most
    problems: list[str] = field(default_factory=list)

    @property
    def orders(self) -> int:
        """Loads, unloads and switches of routes that were given."""
        return self.switches + sum(self.desired.orders.values())


class Lives:
    """One server after the other on the same data folder."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.outcome = Outcome()
        self._draw = random.Random(seed)
        self._world = World(folder, adapters=ADAPTERS)
        self._data = folder / "data"
        self._alone: Answers = {}
        self._killed = threading.Event()

    def go(self, orders: int, kills: int) -> None:
        """Until there were so many of both; then a last start, and a last look."""
        self._world.make()
        with self._server() as server:
            self._alone = answers_alone(self._world, server)
            self._world.serve({f"r-{name}": f"{name}@{VERSIONS[0]}" for name in ROUTED})
            with Client(server.target, timeout=SETTLED) as client:
                client.reload_routes()
            self._live(server)
        while self.outcome.orders < orders or self.outcome.kills < kills:
            if self.outcome.kills % 4 == 3:
                self._start_and_kill()
            else:
                with self._server() as server:
                    self._live(server)
        with self._server() as server:
            self._look(server)

    def _server(self) -> ServerProcess:
        return ServerProcess(self._world.config, self._data)

    def _start_and_kill(self) -> None:
        server = self._server()
        timer = threading.Timer(self._draw.uniform(2, 20), lambda: self._kill(server.pid))
        timer.start()
        try:
            with server:
                timer.join()
                server.wait()
        except click.ClickException:  # it ended before it was ready
            self.outcome.kills_in_start += 1
        timer.join()

    def _live(self, server: ServerProcess) -> None:
        """Look, order, be killed."""
        self._killed.clear()
        self._look(server)
        work = [
            *(partial(self._order, server, names, random.Random(self._draw.random())) for names in LANES),
            partial(self._switch, server, random.Random(self._draw.random())),
        ]
        threads = [threading.Thread(target=one) for one in work]
        for thread in threads:
            thread.start()
        time.sleep(self._draw.uniform(0, 4))
        self._killed.set()
        self._kill(server.pid)
        for thread in threads:
            thread.join()
        server.wait()

    def _kill(self, pid: int) -> None:
        family = descendants(pid)
        os.kill(pid, signal.SIGKILL)
        self.outcome.kills += 1
        killed = time.monotonic()
        while (left := [one for one in family if _runs(one)]) and time.monotonic() < killed + GONE:
            time.sleep(0.1)
        self.outcome.outlived = max(self.outcome.outlived, time.monotonic() - killed)
        if left:
            self.outcome.problems.append(f"processes {left} outlived their server by {GONE:g} s")

    def _order(self, server: ServerProcess, names: tuple[str, ...], draw: random.Random) -> None:
        """Load, replace by the other version, unload, at random, until the server dies."""
        desired = self.outcome.desired
        try:
            with Client(server.target, timeout=SETTLED) as client:
                requested = {item.name for item in client.list_adapters().adapters if item.requested}
                while not self._killed.is_set():
                    name = draw.choice(names)
                    old, new = (f"{name}@{version}" for version in draw.sample(VERSIONS, 2))
                    if new not in requested:
                        with desired.ordered("load", new):
                            client.load_adapter(new)
                        requested.add(new)
                    if old in requested:
                        with desired.ordered("unload", old):
                            client.unload_adapter(old)
                        requested.remove(old)
        except CallFailed as failure:
            self._explain(failure)

    def _switch(self, server: ServerProcess, draw: random.Random) -> None:
        try:
            with Client(server.target, timeout=SETTLED) as client:
                while not self._killed.is_set():
                    serving = dict(self._world.serving)
                    route = draw.choice(sorted(serving))
                    name, _, version = serving[route].partition("@")
                    serving[route] = f"{name}@{VERSIONS[1 - VERSIONS.index(version)]}"
                    self.outcome.switches += 1
                    self._world.serve(serving)
                    client.reload_routes()
        except CallFailed as failure:
            self._explain(failure)

    def _explain(self, failure: CallFailed) -> None:
        if not self._killed.is_set():
            self.outcome.problems.append(f"an order failed while the server lived: {failure}")

    def _look(self, server: ServerProcess) -> None:
        """Everything that must hold after a start."""
        with Client(server.target, timeout=SETTLED) as client:
            requested = {item.name for item in client.list_adapters().adapters if item.requested}
            self.outcome.problems += self.outcome.desired.settle(requested)
            wanted = requested | set(self._world.serving.values())
            deadline = time.monotonic() + SETTLED
            while (wrong := self._unlike(client, wanted)) and time.monotonic() < deadline:
                time.sleep(0.2)
            self.outcome.problems += wrong
            for route, adapter in self._world.serving.items():
                answer, expected = client.generate(request(route, QUESTIONS[0])), self._alone[adapter, QUESTIONS[0]]
                if (answer.receipt.adapter, answer.text) != (adapter, expected):
                    told = f"{answer.receipt.adapter} says {answer.text!r}"
                    self.outcome.problems.append(f"{route}: {told}, expected {adapter} and {expected!r}")
        print(f"kills: {self.outcome.kills}, orders: {self.outcome.orders}, requested: {sorted(requested)}", flush=True)

    def _unlike(self, client: Client, wanted: set[str]) -> list[str]:
        listed = [item for item in client.list_adapters().adapters if item.requested or item.routes]
        ready = {item.name: item.digest for item in listed if item.state == admin_pb2.ADAPTER_STATE_READY}
        expected = {name: self._world.digests[name] for name in wanted}
        copies = {f"{name}#{digest[:12]}" for name, digest in expected.items()}
        wrong = []
        if ready != expected or len(listed) != len(expected):
            states = {item.name: (item.state, item.digest[:12], item.problem) for item in listed}
            wrong.append(f"adapters are {states}, expected ready with their digests: {sorted(wanted)}")
        if (found := staged_copies(self._data)) != copies:
            wrong.append(f"copies on disk are {sorted(found)}, expected {sorted(copies)}")
        return wrong


def _runs(pid: int) -> bool:
    """Whether a process is there, and more than an entry that waits for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def measure(folder: Path, orders: int, kills: int, seed: int) -> Outcome:
    """The whole run below `folder`."""
    lives = Lives(folder, seed)
    lives.go(orders, kills)
    return lives.outcome
