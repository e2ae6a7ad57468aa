"""What is done to the server so that each alert has something to tell, and how it is mended."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.alerts.watch import Watch
from benchmarks.alerts.world import LOST, change, cheap
from benchmarks.measuring.processes import command_line, descendants
from tests.support.stores.postgres_server import PostgresServer
from trivet.api.v1 import admin_pb2, inference_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import CallFailed, Client

LATE = 30.0  # seconds more, until the late answers are a twentieth of all that were given before
LEARNT = 150  # questions before others come: the reference, and some that are like it
PATIENCE = 150.0  # seconds for an alert to fire, and to resolve
Doing = Callable[[], None]


@dataclass
class Found:
    """One alert: how it was caused, after how many seconds it was heard, and after how many its end was."""

    alert: str
    cause: str
    receiver: str = ""
    fired: float | None = None
    resolved: float | None = None
    begun: float = 0.0
    mended: float = 0.0


@dataclass
class Causes:
    """Does one thing after another, and keeps what was heard."""

    server: ServerProcess
    client: Client
    postgres: PostgresServer
    watch: Watch
    found: list[Found] = field(default_factory=list)
    _asked: int = 0

    def all(self, only: Sequence[str] = ()) -> None:
        """Everything that can be caused here; `only` some of the methods' names."""
        for cause in (
            self.cost, self.search_away, self.late, self.engine_dies, self.overload, self.front_hangs, self.store_away,
            self.rollouts, self.disk_full, self.limit, self.prompt_edit, self.index_behind, self.disk_set_back,
            self.other_questions,
        ):  # fmt: skip
            if not only or cause.__name__ in only:
                cause()
        self._wait_for_ends()

    def cost(self) -> None:
        """Everything costs a million times as much."""
        with self._cause("every price a million times as high", "TrivetBudget", ends_later=True):
            self._reload(lambda config: config.update(prices={"local": cheap(1e6)}))
            with self._going(lambda: self._ask("steady")):
                self._until_fired("TrivetBudget")
        self._reload(lambda config: config.update(prices={"local": cheap()}))

    def search_away(self) -> None:
        """The vector engine is killed again and again."""
        alerts = ("TrivetVectorEngineDown", "TrivetRetrievalDegraded", "TrivetErrorBudgetBurn")
        with (
            self._cause("the vector engine killed again and again", *alerts),
            self._going(lambda: self._ask("facts"), lambda: self._ask("strict"), lambda: self._kill_vector()),
        ):
            self._until_fired(*alerts)
        self._later("TrivetErrorBudgetBurnSlow", "the same; held back beside the fast alert")
        with self._going(lambda: self._ask("facts"), lambda: self._ask("strict")):
            self._until_resolved(*alerts)

    def late(self) -> None:
        """The engine stops for 1.4 s again and again."""
        alert = "TrivetFirstTokenBudgetBurn"

        def ask() -> None:
            self._ask("steady")
            time.sleep(0.15)  # so that the next one comes when the engine stands, however fast it is in between

        with (
            self._cause("the engine's process stopped for 1.4 s at a time", alert),
            self._going(*[ask] * 8, lambda: self._stopped(self._engine(), 1.4, 0.1)),
        ):
            self._until_fired(alert)
            time.sleep(LATE)
        self._later(f"{alert}Slow", "the same; held back beside the fast alert")
        with self._going(lambda: self._ask("steady")):
            self._until_resolved(alert)

    def engine_dies(self) -> None:
        """Killed as often as it comes back; an adapter's files go away meanwhile."""
        alerts = ("TrivetEngineDown", "TrivetEngineRestarting", "TrivetAdapterFailed")
        with self._cause("the engine killed whenever it was back; an adapter's files removed", *alerts):
            self.client.load_adapter(LOST)
            shutil.rmtree(self.server.config.parent / "adapters" / "json-answer" / "98")
            for copy in (self.server.data_dir / "adapters").glob(f"{LOST}*"):
                shutil.rmtree(copy)
            killed: set[int] = set()

            def kill() -> None:
                pid = self._engine()
                if len(killed) < 3 and pid not in killed:
                    killed.add(pid)
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.5)

            with self._going(kill):
                self._until_fired(*alerts, patience=2 * PATIENCE)
        with suppress(CallFailed):
            self.client.unload_adapter(LOST)
        self._until_resolved(*alerts)

    def overload(self) -> None:
        """More clients than the queue has places."""
        with (
            self._cause("40 clients at once, for 16 places", "TrivetRefusesRequests"),
            self._going(*[lambda: self._ask("steady")] * 40),
        ):
            self._until_fired("TrivetRefusesRequests")
        with self._going(lambda: self._ask("steady")):
            self._until_resolved("TrivetRefusesRequests")

    def front_hangs(self) -> None:
        """Stopped for a moment again and again, and then for long."""
        with (
            self._cause("the gateway's process stopped for 0.2 s at a time", "TrivetEventLoopLag"),
            self._going(lambda: self._stopped(self.server.pid, 0.2, 0.1)),
        ):
            self._until_fired("TrivetEventLoopLag")
        self._until_resolved("TrivetEventLoopLag")
        with self._cause("the gateway's process stopped", "TrivetDown"):
            os.kill(self.server.pid, signal.SIGSTOP)
            try:
                self._until_fired("TrivetDown")
            finally:
                os.kill(self.server.pid, signal.SIGCONT)
        self._until_resolved("TrivetDown")

    def store_away(self) -> None:
        """PostgreSQL goes and comes."""
        with self._cause("the PostgreSQL server stopped", "TrivetStoreStale"):
            self.postgres.stop(signal.SIGQUIT)
            try:
                self._until_fired("TrivetStoreStale")
            finally:
                self.postgres.start()
        self._until_resolved("TrivetStoreStale")

    def rollouts(self) -> None:
        """One has halted since the start, for nobody asks; another one is taken back by hand."""
        with self._cause("a rollout of a route that nobody asks", "TrivetRolloutHalted"):
            self._find_from_the_start("TrivetRolloutHalted")
        self.client.rollouts.cancel("quiet", "the halt was seen")
        self._until_resolved("TrivetRolloutHalted")
        with self._cause("a rollback by hand", "TrivetRolledBack"):
            self.client.rollouts.rollback("moving", "to see the alert")
            self._until_fired("TrivetRolledBack")
        self._until_resolved("TrivetRolledBack")

    def disk_full(self) -> None:
        """The request log's file is /dev/full, so that each write fails as on a full disk."""
        log = self.server.data_dir / "receipts.jsonl"
        aside = log.with_name("receipts-aside.jsonl")
        with self._cause("the request log on a full disk, its queue full", "TrivetReceiptsLost"):
            log.rename(aside)
            log.symlink_to("/dev/full")
            with self._going(*[lambda: self._ask("no-such-route-" + "x" * 48)] * 8):
                self._until_fired("TrivetReceiptsLost")
        log.unlink()
        self._until_resolved("TrivetReceiptsLost")

    def limit(self) -> None:
        """All but one of a day's requests."""

        def set_limit(config: dict[str, Any]) -> None:
            config["budgets"] = {"default": [{"per": "month", "requests": 30}]}

        with self._cause("30 of the 30 requests of a month", "TrivetLimitNear"):
            self._reload(set_limit)
            for _ in range(31):
                self._ask("steady")
            self._until_fired("TrivetLimitNear")
        self._reload(lambda config: config.pop("budgets"))
        self._until_resolved("TrivetLimitNear")

    def prompt_edit(self) -> None:
        """A variable moves to the front of the prompt, and back."""
        alert = "TrivetCacheHitDrop"

        def ask() -> None:
            self._ask("steady")
            time.sleep(0.1)

        with self._going(ask, ask, ask):
            time.sleep(60)
            with self._cause("a prompt's variable moved from its end to its front", alert):
                self._prompt("steady@2")
                self._until_fired(alert)
            self._prompt("steady@1")
            self._until_resolved(alert)

    def index_behind(self) -> None:
        """Documents come without a pause while a snapshot is retained."""
        list(self.client.build_index("handbook", rebuild=True))
        with (
            self._cause("documents written without a pause", "TrivetIndexLag"),
            self._going(*[self._write_document] * 4),
        ):
            self._until_fired("TrivetIndexLag")
        self._until_resolved("TrivetIndexLag")

    def disk_set_back(self) -> None:
        """The vector engine gets an older state of its folder: what it had acknowledged since is gone."""
        folder, older = self.server.data_dir / "vectors", self.server.data_dir / "vectors-older"
        with self._cause("the vector engine's folder as it was 5 documents ago", "TrivetIndexRepaired"):
            vector = self._vector()
            with self._held(self.server.pid), self._held(vector):
                shutil.copytree(folder, older)
            for _ in range(5):
                self._write_document()
            with self._held(self.server.pid):
                os.kill(self._vector(), signal.SIGKILL)
                shutil.rmtree(folder)
                older.rename(folder)
            self._until_fired("TrivetIndexRepaired")
        self._until_resolved("TrivetIndexRepaired")

    def other_questions(self) -> None:
        """A route is asked about lamps, and then about something else."""
        for _ in range(LEARNT):
            self._ask("watched")
        with (
            self._cause("other questions than the first hundred", "TrivetDrift"),
            self._going(lambda: self._ask("watched", "How many eggs are in a cake for {} guests?")),
        ):
            self._until_fired("TrivetDrift")
        self._until_resolved("TrivetDrift")

    def _write_document(self) -> None:
        self._asked += 1
        text = f"Lamp number {self._asked} has {self._asked} bulbs."
        document = admin_pb2.Document(id=f"lamp-{self._asked}", content=text.encode())
        list(self.client.upsert_documents([admin_pb2.UpsertDocumentsRequest(index="handbook", document=document)]))

    def _prompt(self, version: str) -> None:
        def edit(config: dict[str, Any]) -> None:
            config["routes"]["steady"]["variants"]["only"]["prompt"] = version

        self._reload(edit)

    def _reload(self, how: Callable[[dict[str, Any]], object]) -> None:
        change(self.server.config, lambda config: (how(config), None)[1])
        self.client.reload_routes()

    @contextmanager
    def _cause(self, what: str, *alerts: str, ends_later: bool = False) -> Iterator[None]:
        print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)
        begun = time.monotonic()
        mine = [Found(alert, what, begun=begun) for alert in alerts]
        self.found += mine
        yield
        for one in mine:
            one.mended = time.monotonic()

    def _later(self, alert: str, what: str) -> None:
        """One with the cause before it: it may have been heard at any time since, also before the fast one."""
        self.found.append(Found(alert, what, begun=self.found[-1].begun, mended=time.monotonic()))

    def _until_fired(self, *alerts: str, patience: float = PATIENCE) -> None:
        deadline = time.monotonic() + patience
        waiting = [one for one in self.found if one.alert in alerts]
        while any(self._not_fired(one) for one in waiting) and time.monotonic() < deadline:
            time.sleep(0.2)

    def _not_fired(self, one: Found) -> bool:
        note = self.watch.firing(one.alert, one.begun)
        if note is not None and one.fired is None:
            one.fired, one.receiver = note.at - one.begun, note.receiver
        return one.fired is None

    def _find_from_the_start(self, alert: str) -> None:
        """It may have fired before."""
        for one in self.found:
            if one.alert == alert and self.watch.notes:
                one.begun = self.watch.notes[0].at - 1
        self._until_fired(alert)

    def _until_resolved(self, *alerts: str, patience: float = PATIENCE) -> None:
        deadline = time.monotonic() + patience
        waiting = [one for one in self.found if one.alert in alerts and one.fired is not None]
        while any(self._not_resolved(one) for one in waiting) and time.monotonic() < deadline:
            time.sleep(0.2)

    def _not_resolved(self, one: Found) -> bool:
        at = self.watch.resolved(one.alert, one.begun)
        if at is not None and one.resolved is None:
            one.resolved = max(0.0, at - one.mended)
        return one.resolved is None

    def _wait_for_ends(self) -> None:
        slow = [one.alert for one in self.found if one.alert.endswith("Slow")]
        self._until_fired(*slow)
        self._until_resolved(*slow, "TrivetBudget", patience=2 * PATIENCE)

    @contextmanager
    def _going(self, *work: Doing) -> Iterator[None]:
        """Each of these over and over meanwhile, in a thread of its own."""
        stop = threading.Event()

        def loop(one: Doing) -> None:
            while not stop.is_set():
                with suppress(CallFailed, LookupError, ProcessLookupError):
                    one()
                time.sleep(0.01)

        threads = [threading.Thread(target=loop, args=(one,)) for one in work]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _ask(self, route: str, question: str = "Which lamp do you have for me, number {}?") -> None:
        self._asked += 1
        message = inference_pb2.Message(role="user", content=question.format(self._asked))
        variables = {"shop": f"shop {self._asked}"} if route in {"steady", "moving"} else {}
        request = inference_pb2.GenerateRequest(route=route, messages=[message], variables=variables)
        with suppress(CallFailed):
            self.client.generate(request)

    @staticmethod
    @contextmanager
    def _held(pid: int) -> Iterator[None]:
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @staticmethod
    def _stopped(pid: int, seconds: float, running: float) -> None:
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
        time.sleep(running)

    def _kill_vector(self) -> None:
        os.kill(self._vector(), signal.SIGKILL)
        time.sleep(0.5)

    def _vector(self) -> int:
        return self._child(lambda pid: "trivet.vector" in command_line(pid))

    def _engine(self) -> int:
        log = self.server.data_dir / "logs" / "engine-local.log"
        return self._child(lambda pid: Path(f"/proc/{pid}/fd/1").readlink() == log)

    def _child(self, wanted: Callable[[int], bool]) -> int:
        for pid in descendants(self.server.pid):
            with suppress(OSError):
                if wanted(pid):
                    return pid
        raise LookupError("no such process now")
