"""A server as a child process, for the demo and evaluations."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

import click

from trivet.client import Target
from trivet.vector.lifeline import environment_of_child

START_TIMEOUT = 600.0  # large models take minutes; a server that ends is noticed at once
STOP_TIMEOUT = 60.0
POLL = 0.02


class ServerProcess:
    """`trivet serve` on free ports; stopped when the `with` block ends, and killed if this process is.

    What it prints goes to `output`, or where this process prints. `module` and its arguments stand in for the command
    `trivet`, to run it under something else.
    """

    def __init__(
        self, config: Path, data_dir: Path, *, output: Path | None = None, module: Sequence[str] = ("trivet.cli.child",)
    ) -> None:
        self.config = config
        self.data_dir = data_dir
        self.target = Target()
        self.metrics_address = ""
        self.http_address = ""
        self._output = output
        self._module = tuple(module)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", *self._module, "serve", "--config", str(self.config)]
        command += ["--data-dir", str(self.data_dir)]
        for option in ("--listen", "--admin-listen", "--metrics-listen", "--http-listen"):
            command += [option, "127.0.0.1:0"]
        # In a group of its own: a terminal's Ctrl-C is for this process, which then ends the server in good order.
        with nullcontext() if self._output is None else self._output.open("w") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, process_group=0, env=environment_of_child()
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid

    def wait(self) -> int:
        """Wait for its end; its exit code."""
        return self._process.wait(STOP_TIMEOUT)

    def _wait_until_ready(self) -> None:
        path = self.data_dir / "server.json"
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            code = self._process.poll()
            if code is not None:
                raise click.ClickException(f"the server ended with exit code {code}{self._where()}")
            if path.exists():
                said = json.loads(path.read_text())
                if said["pid"] == self._process.pid:
                    self.target = Target(address=said["listen"], admin_address=said["admin_listen"])
                    self.metrics_address = said["metrics_listen"]
                    self.http_address = said["http_listen"]
                    return
            time.sleep(POLL)
        raise click.ClickException(f"the server was not ready within {START_TIMEOUT:g} s{self._where()}")

    def _where(self) -> str:
        return "" if self._output is None else f"; see {self._output}"

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
