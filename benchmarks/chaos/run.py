"""One run: everything that is done to one server, and what came of it."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chaos.answers import Answers, answers_alone, request
from benchmarks.chaos.world import ADAPTERS, BASE, QUESTIONS, VERSIONS, World, staged_copies
from benchmarks.measuring.processes import command_line, descendants, open_files, resident_bytes
from trivet.api.v1 import admin_pb2, inference_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import CallFailed, Client

STREAMS = 16
# Open files that dead engines keep, some ten each: the first one for ever (its objects are frozen), the last one until
# the next start collects it. It does not grow with further deaths.
_OF_THE_DEAD = 20
RECOVERY = 90.0  # seconds that a killed engine may take to come back, on a busy machine
PATIENCE = 120.0  # seconds beyond its time that a slow machine may take to do enough
SWAP_PAUSE = 0.5  # seconds between two changes of adapters
REFUSALS = ("INVALID_ARGUMENT", "FAILED_PRECONDITION")


@dataclass
class History:
    """What happened. `problems` is what must not."""

    answers: int = 0
    abandoned: int = 0
    slowed: int = 0
    swaps: Counter[str] = field(default_factory=Counter)
    explained: int = 0
    kills: list[tuple[float, float]] = field(default_factory=list)  # from the kill until it served again
    failures: list[tuple[float, float, CallFailed]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def judge(self) -> None:
        """Set each failure against the kills: only UNAVAILABLE with a time to retry, while the engine was away."""
        for begun, ended, failure in self.failures:
            away = any(begun <= back and killed <= ended for killed, back in self.kills)
            if away and failure.code == "UNAVAILABLE" and failure.retry_after is not None:
                self.explained += 1
            else:
                self.problems.append(f"a request failed without a kill to explain it: {failure}")


class Chaos:
    """One server and everything that is done to it, each kind from threads of its own."""

    def __init__(self, world: World, server: ServerProcess, alone: Answers, seed: int) -> None:
        self.history = History()
        self._world, self._server, self._alone, self._seed = world, server, alone, seed
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._reloaded = dict(world.serving)  # what the server is known to have taken
        self._requested: set[str] = set()
        self._unsure: set[str] = set()  # what a call that failed has done, nobody can tell

    def run(self, seconds: float, kills: int, enough: Callable[[History], bool]) -> None:
        """Let it go for that long, and until there is enough to judge by: a slow machine takes longer."""
        work = [threading.Thread(target=self._ask, args=(self._seed + number,)) for number in range(STREAMS)]
        work.append(threading.Thread(target=self._swap, args=(self._seed + 1000,)))
        for thread in work:
            thread.start()
        try:
            for _ in range(kills):
                time.sleep(seconds / (kills + 1))
                self._kill()
            time.sleep(seconds / (kills + 1))
            patience = time.monotonic() + PATIENCE
            while not enough(self.history) and time.monotonic() < patience:
                time.sleep(0.2)
        finally:
            self._stop.set()
            for thread in work:
                thread.join()
        self.history.judge()

    def _ask(self, seed: int) -> None:
        draw = random.Random(seed)
        with Client(self._server.target, timeout=60) as client:
            while not self._stop.is_set():
                begun = time.monotonic()
                try:
                    self._stream(client, draw)
                except CallFailed as failure:
                    with self._lock:
                        self.history.failures.append((begun, time.monotonic(), failure))
                    time.sleep(min(1.0, failure.retry_after or 0.1))

    def _stream(self, client: Client, draw: random.Random) -> None:
        route, question = draw.choice((*self._world.serving, BASE)), draw.choice(QUESTIONS)
        way = draw.choices(("whole", "abandoned", "slowed"), (8, 1, 1))[0]
        events = client.generate_stream(request(route, question))
        pieces: list[str] = []
        final: inference_pb2.GenerateResponse | None = None
        for event in events:
            if event.HasField("final"):
                final = event.final
                continue
            pieces.append(event.delta.text)
            if way == "abandoned":
                events.close()
                with self._lock:
                    self.history.abandoned += 1
                return
            if way == "slowed":
                time.sleep(draw.uniform(0.05, 0.3))
        assert final is not None
        self._compare(final, "".join(pieces), question, way)

    def _compare(self, final: inference_pb2.GenerateResponse, text: str, question: str, way: str) -> None:
        adapter = final.receipt.adapter
        expected, digest = self._alone[adapter, question], self._world.digests.get(adapter, "")
        with self._lock:
            self.history.answers += 1
            self.history.slowed += way == "slowed"
            if text != expected or final.text != expected:
                self.history.problems.append(f"{adapter or BASE} answered {final.text!r}, alone {expected!r}")
            if final.receipt.adapter_digest != digest:
                self.history.problems.append(f"{adapter}: the receipt's digest is {final.receipt.adapter_digest}")

    def _swap(self, seed: int) -> None:
        draw = random.Random(seed)
        with Client(self._server.target, timeout=RECOVERY) as client:
            while not self._stop.is_set():
                change = draw.choices(("replace", "load", "unload", "bad"), (4, 2, 2, 2))[0]
                begun = time.monotonic()
                try:
                    getattr(self, f"_{change}")(client, draw)
                    with self._lock:
                        self.history.swaps[change] += 1
                except CallFailed as failure:
                    with self._lock:
                        self.history.failures.append((begun, time.monotonic(), failure))
                time.sleep(draw.uniform(0, 2 * SWAP_PAUSE))

    def _replace(self, client: Client, draw: random.Random) -> None:
        """Switch one to three routes to the other version of their adapter."""
        serving = dict(self._world.serving)
        for route in draw.sample(sorted(serving), draw.randint(1, 3)):
            name, _, version = serving[route].partition("@")
            serving[route] = f"{name}@{VERSIONS[1 - VERSIONS.index(version)]}"
        self._world.serve(serving)
        client.reload_routes()
        self._reloaded = serving

    def _load(self, client: Client, draw: random.Random) -> None:
        name = draw.choice(self._world.versions)
        self._unsure.add(name)
        loaded = client.load_adapter(name).adapter
        self._unsure.discard(name)
        self._requested.add(name)
        if loaded.state != admin_pb2.ADAPTER_STATE_READY:
            self.history.problems.append(f"{name} was loaded and is in state {loaded.state}")

    def _unload(self, client: Client, draw: random.Random) -> None:
        """Withdraw a request; where a route wants the adapter, that is said and nothing changes."""
        known = sorted(self._requested | self._unsure)
        if not known:
            return
        name = draw.choice(known)
        before = name in self._requested
        self._requested.discard(name)
        self._unsure.add(name)
        try:
            client.unload_adapter(name)
            self._unsure.discard(name)
        except CallFailed as refused:
            if refused.code == "NOT_FOUND" and not before:  # the load that failed had done nothing
                self._unsure.discard(name)
            elif refused.code != "FAILED_PRECONDITION" or name not in self._wanted():
                raise
            elif before:
                self._unsure.discard(name)
                self._requested.add(name)

    def _wanted(self) -> set[str]:
        """What routes may want: those of the configuration, and those of before if it was not taken."""
        return {*self._world.serving.values(), *self._reloaded.values()}

    def _bad(self, client: Client, draw: random.Random) -> None:
        name = draw.choice(self._world.bad)
        try:
            client.load_adapter(name)
        except CallFailed as refused:
            if refused.code not in REFUSALS:
                raise
        else:
            self.history.problems.append(f"{name} was taken")

    def _kill(self) -> None:
        killed, old = time.monotonic(), set(engine_processes(self._server.pid))
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        with Client(self._server.target, timeout=10) as client:
            while True:
                time.sleep(0.2)
                if time.monotonic() > killed + RECOVERY:
                    self.history.problems.append(f"the engine was not back within {RECOVERY:g} s")
                    break
                running = set(engine_processes(self._server.pid))
                if running and not running & old and _all_ready(client):
                    break
        self.history.kills.append((killed, time.monotonic()))

    def settle(self) -> None:
        """With all quiet: what is wanted is resident, and nothing else is left of what there was."""
        with Client(self._server.target, timeout=30) as client:
            client.reload_routes()  # the last change may have come while the engine was away
            deadline = time.monotonic() + 20
            while (left := self._left(client)) and time.monotonic() < deadline:
                time.sleep(0.2)
        self.history.problems += left

    def _left(self, client: Client) -> list[str]:
        least = {*self._world.serving.values(), *self._requested}
        listed = client.list_adapters().adapters
        ready = {item.name for item in listed if item.state == admin_pb2.ADAPTER_STATE_READY}
        leased = [item.name for item in listed if item.tier == admin_pb2.ADAPTER_TIER_LEASED]
        copies = staged_copies(self._server.data_dir)
        right = {f"{name}#{self._world.digests[name][:12]}" for name in ready}
        found = []
        if not least <= ready <= least | self._unsure:
            found.append(f"ready are {sorted(ready)}, expected {sorted(least)} and maybe {sorted(self._unsure)}")
        if leased:
            found.append(f"still leased: {leased}")
        if copies != right:
            found.append(f"copies on disk: {sorted(copies)}, expected {sorted(right)}")
        return found


def _all_ready(client: Client) -> bool:
    try:
        routes = client.list_routes().routes
    except CallFailed:
        return False
    return all(variant.ready for route in routes for variant in route.variants)


def engine_processes(server: int) -> list[int]:
    """The processes of a server's engine."""
    named = {pid: command_line(pid) for pid in descendants(server)}
    return [pid for pid, command in named.items() if command and "trivet.vector" not in command]


def measure(
    folder: Path, seconds: float, kills: int, seed: int, enough: Callable[[History], bool] = lambda _: True
) -> tuple[History, dict[str, object]]:
    """The whole run below `folder`, as long as it was given and until there is enough: what happened, and the sizes
    before and after."""
    world = World(folder)
    world.make()
    with ServerProcess(world.config, folder / "data") as server:
        alone = answers_alone(world, server)
        world.serve({f"r{number:02d}": f"a{number:02d}@{VERSIONS[0]}" for number in range(ADAPTERS)})
        with Client(server.target, timeout=RECOVERY) as client:
            client.reload_routes()
        chaos = Chaos(world, server, alone, seed)
        chaos.settle()
        before = {"open files": open_files(server.pid), "resident bytes": resident_bytes(server.pid)}
        chaos.run(seconds, kills, enough)
        chaos.settle()
        after = {"open files": open_files(server.pid), "resident bytes": resident_bytes(server.pid)}
        if after["open files"] > before["open files"] + STREAMS + _OF_THE_DEAD:
            chaos.history.problems.append(f"open files grew from {before['open files']} to {after['open files']}")
    return chaos.history, {"before": before, "after": after}
