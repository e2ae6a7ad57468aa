"""A real Prometheus for tests, over the binaries that deploy/prometheus/fetch.sh has."""

from __future__ import annotations

import functools
import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trivet.cli.server.process import STOP_TIMEOUT

ROOT = Path(__file__).parents[2]
FETCH = ROOT / "deploy" / "prometheus" / "fetch.sh"
_START_SECONDS = 60.0


@functools.cache
def binaries() -> Path:
    """The folder with prometheus, promtool, alertmanager and amtool; the first call on a machine downloads 30 MB."""
    done = subprocess.run([FETCH], capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def promtool(*arguments: str | Path, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run it in `folder`; the caller looks at the exit code."""
    return subprocess.run([binaries() / "promtool", *arguments], cwd=folder, capture_output=True, text=True)


class Prometheus:
    """One that runs; `address` is host:port."""

    def __init__(self, address: str, process: subprocess.Popen[bytes]) -> None:
        self.address = address
        self.process = process

    def get(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of its HTTP API; ValueError with its own words if it refuses."""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query, each with `metric` and `value`: (seconds, number as text)."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The series of a range query, each with `metric` and `values`."""
        times = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        found: list[dict[str, Any]] = self.get("query_range", query=expression, **times)["result"]
        return found


@contextmanager
def prometheus(config: Path, data: Path, *options: str) -> Iterator[Prometheus]:
    """Serve `config` on a free port of 127.0.0.1, with its data in `data`."""
    log = data.with_suffix(".log")
    for _ in range(3):  # the port was free a moment ago
        address = f"127.0.0.1:{free_port()}"
        command: Sequence[str | Path] = (
            binaries() / "prometheus", f"--config.file={config}", f"--storage.tsdb.path={data}",
            f"--web.listen-address={address}", *options,
        )  # fmt: skip
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            if _ready(process, address):
                yield Prometheus(address, process)
                return
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT)
        if "address already in use" not in log.read_text():
            break
    raise RuntimeError(log.read_text())


def _ready(process: subprocess.Popen[bytes], address: str) -> bool:
    end = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(f"http://{address}/-/ready", timeout=5).close()
            return True
        except OSError:
            time.sleep(0.05)
    return False


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
