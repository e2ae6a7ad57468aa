"""One run: writers, readers and kills, and what came of it."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.freshness.history import Read, Write, name, problems, question, text
from benchmarks.measuring.processes import command_line, descendants
from trivet.api.v1 import admin_pb2, inference_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import CallFailed, Client

WRITERS, READERS, DOCUMENTS = 4, 8, 8
INDEX, ROUTE = "handbook", "support"
# Between two kills, at least: writes acknowledged, reads that found the document through Retrieve and through Generate.
PHASE = (8, 24, 4)
_PAUSE = 0.1  # seconds after a call that failed
_OUTAGE = 1.0  # seconds that writers go on after a kill of the vector process, before they wait
_TIMEOUT = 20.0
_BACK = 120.0  # seconds that a killed process may take to serve again, on a busy machine; a server's start not counted
_PATIENCE = 300.0  # seconds that a phase may take longer than it should, until there is enough


@dataclass
class Outcome:
    """What happened. `kills`: of what; `failures`: why calls failed; `exit_code`: of the last server, told to end;
    `built`: snapshots made where another gateway had been killed at it.

    Every thread appends to the lists.
    """

    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    exit_code: int | None = None
    built: int = 0

    @property
    def acknowledged(self) -> int:
        """Writes that were acknowledged."""
        return sum(write.acknowledged is not None for write in self.writes)

    def found(self, *, whole: bool) -> int:
        """Reads that found the document: through `Retrieve` if `whole`, else through `Generate`."""
        return sum(bool(read.texts) for read in self.reads if read.whole == whole)

    @property
    def counts(self) -> tuple[int, int, int]:
        """As in `PHASE`."""
        return self.acknowledged, self.found(whole=True), self.found(whole=False)

    @property
    def reasons(self) -> Counter[str]:
        """How many calls failed for each reason: kind of call, status code and reason."""
        return Counter(self.failures)

    def problems(self) -> list[str]:
        """What must not be: one line each."""
        return problems(self.writes, self.reads)


class Run:
    """The server that is up at the moment, and what is done to it."""

    def __init__(self, config: Path, data: Path) -> None:
        self.outcome = Outcome()
        self._config = config
        self._data = data
        self._servers: list[ServerProcess | None] = [None]
        self._stop = threading.Event()
        self._writing = threading.Event()

    def go(self, seconds: float, kills: int, seed: int) -> None:
        """Write, read and kill; then a last look. Raises what a writer or a reader did not expect."""
        try:
            self._start()
            owned = [range(DOCUMENTS)[n::WRITERS] for n in range(WRITERS)]
            with ThreadPoolExecutor(WRITERS + READERS) as pool:
                try:
                    work = [pool.submit(self._write, seed + n, documents) for n, documents in enumerate(owned)]
                    work += [pool.submit(self._read, seed + 100 + n) for n in range(READERS)]
                    self._writing.set()
                    for number in range(kills):
                        self._phase(work, seconds / (kills + 1))
                        self._kill(whole=number % 2 == 1)
                    self._phase(work, seconds / (kills + 1))
                finally:  # also when a server does not start again: nothing must wait for it forever
                    self._stop.set()
            self._look()
        finally:
            for server in filter(None, self._servers):
                server.__exit__(None, None, None)
                self.outcome.exit_code = server.wait()

    def _phase(self, work: list[Future[None]], seconds: float) -> None:
        """That long, and until enough was written and found: a slow machine takes longer."""
        begun, end = self.outcome.counts, time.monotonic() + seconds
        while time.monotonic() < end or not self._enough(begun):
            for one in work:
                if one.done():
                    one.result()
            if time.monotonic() > end + _PATIENCE:
                raise RuntimeError(f"counts went from {begun} to {self.outcome.counts} only: {self.outcome.reasons}")
            time.sleep(_PAUSE)

    def _enough(self, begun: tuple[int, int, int]) -> bool:
        return all(now - then >= least for now, then, least in zip(self.outcome.counts, begun, PHASE, strict=True))

    def _start(self) -> None:
        self._servers[0] = ServerProcess(self._config, self._data).__enter__()

    def _up(self, draw: random.Random) -> ServerProcess | None:
        """A server to ask, if one is up."""
        return draw.choice([server for server in self._servers if server is not None] or [None])

    def _kill(self, whole: bool) -> None:
        """Kill the server and start it again, or its vector process alone; then a look, while nobody writes."""
        (server,), what = self._servers, "the server" if whole else "the vector process"
        assert server is not None
        os.kill(server.pid if whole else _vector_process(server.pid), signal.SIGKILL)
        self.outcome.kills[what] += 1
        print(f"killed {what}", flush=True)
        if whole:
            self._servers[0] = None
            self._writing.clear()
            server.wait()
            self._start()
        else:
            time.sleep(_OUTAGE)
            self._writing.clear()
        self._look()
        self._writing.set()

    def _look(self) -> None:
        """Read each document: one that was lost would otherwise be missed if it were soon written again."""
        end, draw = time.monotonic() + _BACK, random.Random()
        for document in range(DOCUMENTS):
            while not self._ask(document, draw, whole=True):
                if time.monotonic() > end:
                    raise RuntimeError(f"no search was answered within {_BACK:g} s after a kill")

    def _write(self, seed: int, documents: range) -> None:
        """One writer; these documents are its own."""
        draw, number = random.Random(seed), 0
        while not self._stop.is_set():
            server = self._up(draw)
            if server is None or not self._writing.is_set():
                time.sleep(_PAUSE)
                continue
            number += 1
            document, deleting, parts = draw.choice(documents), draw.random() < 0.2, draw.choice((1, 2, 4))
            begun, acknowledged = time.monotonic(), None
            try:
                with Client(server.target, timeout=_TIMEOUT) as client:
                    if deleting:
                        client.delete_documents(INDEX, [name(document)])
                        refused = ""
                    else:
                        refused = _upsert(client, document, text(document, number, parts))
                acknowledged = None if refused else time.monotonic()
            except CallFailed as error:
                refused = f"{error.code} {error.reason}"
            self.outcome.writes.append(
                Write(document, 0 if deleting else number, 0 if deleting else parts, begun, acknowledged)
            )
            if refused:
                self._failed("Delete" if deleting else "Upsert", refused)

    def _read(self, seed: int) -> None:
        """One reader."""
        draw = random.Random(seed)
        while not self._stop.is_set():
            self._ask(draw.randrange(DOCUMENTS), draw, whole=draw.random() < 0.75)

    def _ask(self, document: int, draw: random.Random, *, whole: bool) -> bool:
        """One search, through `Retrieve` if `whole`, else through `Generate`; whether it was answered."""
        server = self._up(draw)
        if server is None:
            time.sleep(_PAUSE)
            return False
        begun = time.monotonic()
        try:
            with Client(server.target, timeout=_TIMEOUT) as client:
                found = _retrieve(client, document) if whole else _generate(client, document)
        except CallFailed as error:
            self._failed("Retrieve" if whole else "Generate", f"{error.code} {error.reason}")
            return False
        self.outcome.reads.append(Read(document, begun, time.monotonic(), found, whole))
        return True

    def _failed(self, call: str, why: str) -> None:
        self.outcome.failures.append(f"{call}: {why}".rstrip())
        time.sleep(_PAUSE)


def _upsert(client: Client, document: int, content: str) -> str:
    """Why it was refused; empty if it was acknowledged."""
    made = admin_pb2.Document(id=name(document), content=content.encode(), format=admin_pb2.DOCUMENT_FORMAT_MARKDOWN)
    (done,) = client.upsert_documents([admin_pb2.UpsertDocumentsRequest(index=INDEX, document=made)])
    return f"{done.error.code} {done.error.reason}" if done.HasField("error") else ""


def _retrieve(client: Client, document: int) -> tuple[str, ...]:
    request = inference_pb2.RetrieveRequest(index=INDEX, text=question(document), top_k=100)
    return tuple(one.text for one in client.retrieve(request).citations if one.document_id == name(document))


def _generate(client: Client, document: int) -> tuple[str, ...]:
    message = inference_pb2.Message(role="user", content=question(document))
    response = client.generate(inference_pb2.GenerateRequest(route=ROUTE, messages=[message], max_tokens=1))
    return tuple(one.text for one in response.citations if one.document_id == name(document))


def _vector_process(server: int) -> int:
    """The server's child that serves vectors; waits for it where it is being started again."""
    end = time.monotonic() + _BACK
    while time.monotonic() < end:
        for pid in descendants(server):
            if "trivet.vector" in command_line(pid).split():
                return pid
        time.sleep(_PAUSE)
    raise RuntimeError("the server has no vector process")


def measure(config: Path, data: Path, seconds: float, kills: int, seed: int) -> Outcome:
    """The whole run: a server on this configuration and data folder, `seconds` of writing and reading at least."""
    run = Run(config, data)
    run.go(seconds, kills, seed)
    return run.outcome
