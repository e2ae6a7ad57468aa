"""A process of Trivet's that serves, wherever it is put: started, waited for, killed, ended."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

START_SECONDS = 900.0  # of engines, on a busy machine
STOP_SECONDS = 60.0
LOOPBACK = "127.0.0.1"
_SAMPLE = re.compile(r"^(\w+)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def scrape(address: str, timeout: float = 5.0) -> dict[tuple[str, str], float]:
    """The samples of a metrics listener, by name and labels; OSError if it does not answer."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=timeout) as answer:
        text = answer.read().decode()
    return {(name, labels): float(value) for name, labels, value in _SAMPLE.findall(text)}


class Served:
    """One such process, always on the same addresses. `entered`: what the command begins with, to run it elsewhere."""

    def __init__(self, name: str, folder: Path, command: Sequence[str], entered: Sequence[str] = ()) -> None:
        self.name = name
        self.folder = folder
        self.data = folder / "data"
        self._command = [*entered, sys.executable, "-m", "trivet.cli.child", *command, "--data-dir", str(self.data)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; `wait` until it serves."""
        (self.data / "server.json").unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, process_group=0)

    def wait(self) -> float:
        """Until it serves; the time of `time.monotonic` at which it did."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
            with suppress(FileNotFoundError, ValueError):
                if json.loads((self.data / "server.json").read_text())["pid"] == self.pid:
                    return time.monotonic()
            time.sleep(0.1)
        raise AssertionError(f"{self.name} did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL; its children die with it."""
        assert self._process is not None
        os.kill(self.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, in good order."""
        if self._process is None or self._process.poll() is not None:
            return
        os.kill(self.pid, signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
