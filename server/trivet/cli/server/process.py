"""A server as a child process, for the demo and evaluations."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import click

from trivet.client import Target

START_TIMEOUT = 600.0  # large models take minutes; a server that ends is noticed at once
STOP_TIMEOUT = 60.0


class ServerProcess:
    """`trivet serve` on free ports; stopped when the `with` block ends, and killed if this process is."""

    def __init__(self, config: Path, data_dir: Path) -> None:
        self.config = config
        self.data_dir = data_dir
        self.target = Target()
        self.metrics_address = ""

    def __enter__(self) -> ServerProcess:
        command = [sys.executable, "-m", "trivet.cli.child", "serve", "--config", str(self.config)]
        command += ["--data-dir", str(self.data_dir)]
        for option in ("--listen", "--admin-listen", "--metrics-listen"):
            command += [option, "127.0.0.1:0"]
        self._process = subprocess.Popen(command)
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
                raise click.ClickException(f"the server ended with exit code {code}")
            if path.exists():
                said = json.loads(path.read_text())
                if said["pid"] == self._process.pid:
                    self.target = Target(address=said["listen"], admin_address=said["admin_listen"])
                    self.metrics_address = said["metrics_listen"]
                    return
            time.sleep(0.1)
        raise click.ClickException(f"the server was not ready within {START_TIMEOUT:g} s")

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
