"""The parent: it owns the data folder and the ports, starts engines and front ends, and serves neither."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import signal
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry

from trivet.app.doors.listeners import check_addresses
from trivet.app.models import fetch_models
from trivet.app.processes.child import Child
from trivet.app.processes.front_ends import ANY_PORT, FrontEnd, embedded_backends, engine_settings
from trivet.app.processes.ports import reserved_ports
from trivet.app.processes.scrapes import Scrapes
from trivet.app.progress import Progress
from trivet.app.runtime_info import RuntimeInfo
from trivet.config import Config
from trivet.metering.exposition import MetricsListener
from trivet.stores.data_folder import DataFolder

logger = logging.getLogger(__name__)
STOP_MARGIN = 15.0  # seconds beside `drain_timeout` for a process to end its parts
MOST_REQUESTS_OF_COPIES = 2  # rollouts' copies, and warm-ups, beside the requests of clients


@dataclass(frozen=True, slots=True)
class Commands:
    """How the processes are started: to `front_end` the path of a `FrontEnd` is added, to `engine` its options."""

    front_end: Sequence[str]
    engine: Sequence[str]


class ProcessesServer:
    """`start` once, then `stop` once, from one event loop."""

    def __init__(self, config: Config, progress: Progress, commands: Commands) -> None:
        self._config = config
        self._progress = progress
        self._commands = commands
        self._stack = AsyncExitStack()
        self._engines: dict[str, Child] = {}
        self._front_ends: list[Child] = []
        self._scrapes = Scrapes(lambda: [*self._engines.values(), *self._front_ends])

    async def start(self) -> None:
        """Return when all processes serve. Raises what kept one from starting; `stop` is to be called all the same."""
        config, stack = self._config, self._stack
        folder = DataFolder.open(config.data_dir)
        stack.callback(folder.close)
        check_addresses(config)
        runtime_info = RuntimeInfo(folder.root)
        stack.callback(runtime_info.withdraw)
        listeners = stack.enter_context(reserved_ports(config))
        metrics = self._serve_metrics()
        await fetch_models(config, self._progress)
        root = folder.root / "processes"
        root.mkdir(exist_ok=True)
        key, secret = root / "engine-key", secrets.token_hex(32)
        key.write_text(secret)
        engines = await self._start_engines(root, hashlib.sha256(secret.encode()).hexdigest())
        await self._start_front_ends(root, listeners, engines, key)
        runtime_info.publish({**listeners, "metrics_listen": metrics})
        self._progress.note(
            f"ready: {len(self._front_ends)} processes, clients {listeners['listen']}, operators "
            f"{listeners['admin_listen']}, metrics http://{metrics}/metrics"
        )

    async def reload(self) -> None:
        """Have each front end read its configuration again; the log of each has the outcome. One that is starting
        reads it by itself, and does not know the signal yet."""
        for child in self._front_ends:
            if child.up:
                child.signal(signal.SIGHUP)

    async def stop(self) -> None:
        """Front ends finish what is in flight, then engines end."""
        grace = self._config.file.server.drain_timeout + STOP_MARGIN
        try:
            for children in (self._front_ends, self._engines.values()):
                await asyncio.gather(*(child.stop(grace) for child in children))
        finally:
            await self._stack.aclose()

    def _serve_metrics(self) -> str:
        """From now on, so that a start that takes long is seen; where."""
        registry = CollectorRegistry()
        registry.register(self._scrapes)
        listener = MetricsListener(self._config.file.server.metrics_listen, [registry])
        self._stack.callback(self._scrapes.close)
        self._stack.callback(listener.close)
        fetching = asyncio.create_task(self._scrapes.run(), name="scrapes")
        self._stack.callback(fetching.cancel)
        return listener.address

    async def _start_engines(self, root: Path, key_sha256: str) -> dict[str, str]:
        """One process for each embedded backend; their addresses. One that is started again has the same address."""
        addresses: dict[str, str] = {}
        server, admission = self._config.file.server, self._config.file.admission
        most = server.processes * admission.max_running * MOST_REQUESTS_OF_COPIES

        def write(backend: str, listen: str) -> Path:
            path = root / f"engine-{backend}.yaml"
            path.write_text(yaml.safe_dump(engine_settings(self._config, backend, listen, key_sha256, most)))
            return path

        def started(backend: str, told: Mapping[str, str]) -> None:
            addresses[backend] = told["listen"]
            write(backend, told["listen"])
            self._scrapes.up(f"engine-{backend}", told["metrics_listen"])

        for backend in embedded_backends(self._config.file):
            folder, name = root / f"engine-{backend}", f"engine-{backend}"
            config = write(backend, ANY_PORT)
            command = [*self._commands.engine, "--config", str(config), "--data-dir", str(folder)]
            child = Child(name, command, folder, partial(started, backend), partial(self._scrapes.down, name))
            self._engines[backend] = child
            self._progress.begin(f"process {name}")
            await child.start()  # one after another: each start reads how much memory is free
            self._progress.done(f"process {name}")
        return addresses

    async def _start_front_ends(
        self, root: Path, listeners: dict[str, str], engines: dict[str, str], key: Path
    ) -> None:
        count = self._config.file.server.processes
        for number in range(count):
            folder, path, name = root / str(number), root / f"front-end-{number}.json", str(number)
            FrontEnd(number, count, str(folder), listeners, engines, str(key)).write(path)

            def started(told: Mapping[str, str], name: str = name) -> None:
                self._scrapes.up(name, told["metrics_listen"])

            command = [*self._commands.front_end, str(path)]
            self._front_ends.append(Child(name, command, folder, started, partial(self._scrapes.down, name)))
        try:
            async with asyncio.TaskGroup() as starting:
                for child in self._front_ends:
                    starting.create_task(child.start())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
