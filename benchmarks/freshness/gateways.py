"""The same with several gateways over one PostgreSQL and one vector engine: any of them is killed."""

from __future__ import annotations

import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import yaml

from benchmarks.freshness.run import INDEX, Outcome, Run
from tests.support.stores.postgres_server import PostgresServer, postgres_server
from trivet.cli.server.process import ServerProcess
from trivet.client import CallFailed, Client

_SCRIPTED = ("tests.support.gateway.scripted_gateway",)
_REPORTS = 14  # of a build, about: one for each document, then those of the check and the swap


class VectorService:
    """The embedded vector engine, as a service of its own that gateways of this machine share."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.key_file = folder / "key"
        self.key_file.touch(mode=0o600)
        self.key_file.write_text(secrets.token_hex(32))
        self._folder = folder
        with socket.socket() as some:
            some.bind(("127.0.0.1", 0))
            self.port = int(some.getsockname()[1])

    def start(self) -> None:
        """Return when it takes connections."""
        command = [sys.executable, "-m", "trivet.vector", "--data", str(self._folder / "vectors")]
        command += ["--listen", f"127.0.0.1:{self.port}", "--key-file", str(self.key_file)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise RuntimeError((self._folder / "log").read_text()) from None
                time.sleep(0.05)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.kill()
        self._process.wait()


class SharedRun(Run):
    """Gateways with scripted engines: what is looked at is what they find. Writers and readers ask any that is up.

    In turn: a gateway is killed as it comes; one is killed while it makes a new snapshot, which another one then makes;
    the vector engine is killed. While a gateway is down, the others are written to and read.
    """

    def __init__(self, config: Path, data: Path, gateways: int, seed: int, vectors: VectorService) -> None:
        super().__init__(config, data)
        self._servers = [None] * gateways
        self._vectors = vectors
        self._draw = random.Random(seed)
        self._kills = 0

    def _start(self) -> None:
        for number in range(len(self._servers)):
            self._start_one(number)

    def _start_one(self, number: int) -> None:
        data = self._data / f"gateway{number}"
        self._servers[number] = ServerProcess(self._config, data, module=_SCRIPTED).__enter__()

    def _kill(self, whole: bool) -> None:
        kind, self._kills = self._kills % 3, self._kills + 1
        if kind == 2:
            self.outcome.kills["the vector engine"] += 1
            self._vectors.kill()
            self._vectors.start()
        else:
            self._kill_gateway(building=kind == 1)
        self._writing.clear()
        self._look()
        self._writing.set()

    def _kill_gateway(self, *, building: bool) -> None:
        number = self._draw.randrange(len(self._servers))
        server = self._servers[number]
        assert server is not None
        if building:
            self._build_until_killed(server)
        else:
            os.kill(server.pid, signal.SIGKILL)
        self._servers[number] = None
        self.outcome.kills["a gateway that builds" if building else "a gateway"] += 1
        print(f"killed gateway {number}{', which was building' if building else ''}", flush=True)
        server.wait()
        if building:
            self._build(next(filter(None, self._servers)))
        self._start_one(number)

    def _build_until_killed(self, server: ServerProcess) -> None:
        """Kill it somewhere in a build: at one of its reports, the check and the swap among them, or at its end."""
        left = self._draw.randrange(_REPORTS)
        with Client(server.target, timeout=60) as client, suppress(CallFailed):
            for _ in client.build_index(INDEX, rebuild=True):
                left -= 1
                if left == 0:
                    os.kill(server.pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGKILL)

    def _build(self, server: ServerProcess) -> None:
        """Another gateway may build as soon as the dead one's right has expired."""
        with Client(server.target, timeout=120) as client:
            try:
                for _ in client.build_index(INDEX, rebuild=True):
                    pass
                self.outcome.built += 1
            except CallFailed as error:
                self._failed("Build", f"{error.code} {error.reason}")


def measure_gateways(config: Path, data: Path, seconds: float, kills: int, seed: int, gateways: int) -> Outcome:
    """The whole run; `config` is completed with the database and the vector engine, beside it."""
    data.mkdir(exist_ok=True)
    with postgres_server(durable=True) as postgres:
        vectors = VectorService(data / "vector-engine")
        vectors.start()
        completed = _completed(config, postgres, vectors)
        try:
            run = SharedRun(completed, data, gateways, seed, vectors)
            run.go(seconds, kills, seed)
            return run.outcome
        finally:
            completed.unlink()
            vectors.kill()


def _completed(config: Path, postgres: PostgresServer, vectors: VectorService) -> Path:
    said = yaml.safe_load(config.read_text())
    said["state"] = {"url": postgres.new_database()}
    said["qdrant"] = {
        "url": "http://127.0.0.1",
        "grpc_port": vectors.port,
        "api_key_file": str(vectors.key_file),
    }
    completed = config.with_name(f".{config.stem}-shared.yaml")
    completed.write_text(yaml.safe_dump(said, sort_keys=False))
    return completed
