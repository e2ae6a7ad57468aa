"""A real Prometheus for tests: the machine's own, or that of Debian's package, unpacked into a cache, not installed.

It scrapes one target every second and answers queries on a free port of the loopback.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "trivet-tests"
_DOWNLOAD_SECONDS = 120
_READY_SECONDS = 60.0


def debian_binary(name: str, package: str) -> Path:
    """The path of `usr/bin/NAME` of a Debian package; skips the test where it can neither be found nor had."""
    if found := shutil.which(name):
        return Path(found)
    folder = _CACHE / package
    if not (folder / "usr/bin" / name).exists():
        _unpack(package, folder)
    return folder / "usr/bin" / name


def _unpack(package: str, folder: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        pytest.skip(f"{package} is not installed, and there is no apt-get to fetch it with")
    scratch = folder.with_name(f"{package}.{os.getpid()}")
    scratch.mkdir(parents=True)
    try:
        fetch = ("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package)
        fetched = subprocess.run(fetch, cwd=scratch, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS)
        if fetched.returncode:
            pytest.skip(f"apt-get does not have {package}: {fetched.stderr.strip()}")
        (archive,) = scratch.glob("*.deb")
        subprocess.run(("dpkg", "-x", archive, scratch / "unpacked"), check=True)
        with contextlib.suppress(OSError):  # another test run was faster
            (scratch / "unpacked").rename(folder)
    finally:
        shutil.rmtree(scratch)


class PrometheusServer:
    """One that runs and scrapes."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        data = self._get(f"query?{urllib.parse.urlencode({'query': expression})}")
        result: list[dict[str, Any]] = data["result"]
        return result

    def names(self) -> set[str]:
        """Of all metrics it has."""
        return set(self._get("label/__name__/values"))

    def metadata(self, metric: str) -> list[dict[str, str]]:
        """What the exposition says of a metric family: type, help, unit."""
        found: dict[str, list[dict[str, str]]] = self._get(f"metadata?metric={urllib.parse.quote(metric)}")
        return found.get(metric, [])

    def wait_for(self, expression: str, seconds: float = _READY_SECONDS) -> list[dict[str, Any]]:
        """Query until there is a series; AssertionError if none comes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(OSError):  # it has just been started
                if found := self.query(expression):
                    return found
            time.sleep(0.1)
        raise AssertionError(f"no series for {expression} after {seconds} s")

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self._url}/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)["data"]


@contextlib.contextmanager
def prometheus_server(folder: Path, target: str, *options: str) -> Iterator[PrometheusServer]:
    """One that scrapes `target` (host:port) into `folder`, and ends with the block."""
    binary = debian_binary("prometheus", "prometheus")
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs: [{{job_name: trivet, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command: list[str | Path] = [binary, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}", *options], stdout=log, stderr=log)
        try:
            yield PrometheusServer(f"http://{address}")
        finally:
            process.terminate()
            process.wait(_READY_SECONDS)
