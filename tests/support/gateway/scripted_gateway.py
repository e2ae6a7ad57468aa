"""The whole server as a child process, whose engines alone are scripted.

    python -m tests.support.gateway.scripted_gateway serve --config ...

An adapter named `slow` takes a minute to load. On SIGUSR1 the routes that are served give `UNITS` units their variants,
and `assigned.json` in the data folder tells how, one file for each signal.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from prometheus_client import CollectorRegistry

from trivet.app.accounts.machines import machine_times
from trivet.app.progress import Progress
from trivet.app.supervision.warmup import Warmup
from trivet.cli.main import main
from trivet.config import Config
from trivet.routing.table import RouteTable
from trivet.testing import ScriptedBackend
from trivet.types.adapter import StagedAdapter
from trivet.vector.lifeline import die_with_parent

UNITS = 100_000
SLOW_SECONDS = 60.0
_AT_ONCE = 200  # then others have the loop

_tables: list[RouteTable] = []


class SlowBackend(ScriptedBackend):
    """One adapter's load takes a minute."""

    async def load_adapter(self, adapter: StagedAdapter) -> None:
        if adapter.ref.name == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        await super().load_adapter(adapter)


class ScriptedEngines:
    """In place of `trivet.app.engines.Engines`."""

    def __init__(self, config: Config, *_of_real_ones: object) -> None:
        self.backends = {name: SlowBackend(name=name) for name in config.file.backends}
        self.machines = machine_times(config)
        self.fleets: dict[str, Any] = {}

    @property
    def registries(self) -> list[CollectorRegistry]:
        """An engine without metrics."""
        return []

    async def open_host(self, _progress: Progress) -> None:
        """No engine is forked."""

    async def start(self, warmup: Warmup, _progress: Progress, on_change: Callable[[], None]) -> list[str]:
        """As the real ones do."""
        problems = [problem for name in self.backends for problem in await warmup.prepare(name)]
        on_change()
        return problems

    async def end_supervision(self) -> None:
        """Nobody supervises."""

    async def close(self) -> None:
        """Nothing is open."""


class TellingTable(RouteTable):
    """The routes, which can be asked from outside."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        _tables.append(self)
        self._told = 0
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._tell)

    def _tell(self) -> None:
        self._told += 1
        self._telling = asyncio.ensure_future(self._assign(self._told))

    async def _assign(self, number: int) -> None:
        """All units at one revision: if it changes meanwhile, once more."""
        while True:
            revision, given = self.route("ask").revision, []
            for unit in range(UNITS):
                if unit % _AT_ONCE == 0:
                    await asyncio.sleep(0)
                found = self.resolve("ask", f"unit-{unit}")
                if found.route.revision != revision:
                    break
                given.append(found.variant.name[0])
            if len(given) == UNITS:
                break
        told = "".join(given)
        digest = hashlib.sha256(told.encode()).hexdigest()
        path = Path(os.environ["ASSIGNED"]) / f"assigned-{number}.json"
        path.with_suffix(".new").write_text(json.dumps({"revision": revision, "digest": digest, "given": told}))
        path.with_suffix(".new").replace(path)


if __name__ == "__main__":
    die_with_parent()
    with (
        patch("trivet.app.gateway.components.Engines", ScriptedEngines),
        patch("trivet.app.gateway.components.RouteTable", TellingTable),
    ):
        main(sys.argv[1:], prog_name="trivet")
