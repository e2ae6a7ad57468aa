"""The servers under test as child processes: Trivet's, and vLLM's own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.measuring.processes import command_line, descendants
from benchmarks.measuring.workload import MODEL_NAME, Workload
from trivet.cli.server.process import ServerProcess

START_TIMEOUT = 600.0
STOP_TIMEOUT = 60.0
POLL = 0.02


class ServerFailedError(Exception):
    """A server did not come up."""


def engine_environment(folder: Path) -> dict[str, str]:
    """What Trivet sets for its own engine, for the systems that it is compared with."""
    cache = folder / "vllm-cache"
    return {
        "OMP_NUM_THREADS": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CACHE_ROOT": str(cache / "vllm"),
        "VLLM_CONFIG_ROOT": str(cache / "vllm-config"),
        "HF_HOME": str(cache / "huggingface"),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "TRITON_CACHE_DIR": str(cache / "triton"),
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def process_groups(front: int) -> dict[str, list[int]]:
    """Process ids of a server by what they are: `front`, `engine`, and `vector` where there is one.

    vLLM's Rust front end is a process that a Python one starts, which goes on to watch it.
    """
    groups: dict[str, list[int]] = {"front": [front], "engine": [], "vector": []}
    for pid in descendants(front):
        line = command_line(pid)
        kind = "vector" if "trivet.vector" in line else "front" if "vllm-rs" in line else "engine"
        groups[kind].append(pid)
    return groups


class TrivetServer(ServerProcess):
    """System (b): `trivet serve`. `started` is how long its start took, in seconds.

    With `profile`, under a sampling profiler (`benchmarks.path.profiled`), which writes to that file.
    """

    def __init__(self, workload: Workload, profile: Path | None = None) -> None:
        module = ["trivet.cli.child"] if profile is None else ["benchmarks.path.profiled", str(profile)]
        super().__init__(
            workload.config, workload.folder / "data", output=workload.folder / "trivet.log", module=module
        )
        self.started = 0.0

    def __enter__(self) -> Self:
        begin = time.perf_counter()
        super().__enter__()
        self.started = time.perf_counter() - begin
        return self


class HttpServer:
    """A server of others as a child process, ready when `GET health` answers 200."""

    name = ""
    health = "/health"

    def __init__(self, log: Path) -> None:
        self.host, self.port = "127.0.0.1", _free_port()
        self._log_path = log

    def command(self) -> list[str]:
        """How it is started."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """What it is told beside this process's own environment."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        with self._log_path.open("w") as log:
            self._process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, env={**os.environ, **self.environment()}
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
        """Of the process that was started."""
        return self._process.pid

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self._is_ready():
            if self._process.poll() is not None:
                raise ServerFailedError(f"{self.name} ended with code {self._process.returncode}; see {self._log_path}")
            if time.monotonic() > deadline:
                raise ServerFailedError(f"{self.name} was not ready in {START_TIMEOUT:g} s; see {self._log_path}")
            time.sleep(POLL)

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self.port}{self.health}", timeout=1) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False


class VllmServer(HttpServer):
    """System (c): vLLM's OpenAI-compatible HTTP server."""

    name = "vLLM's server"

    def __init__(self, workload: Workload, stream_interval: int = 1) -> None:
        super().__init__(workload.folder / "vllm.log")
        self._workload = workload
        self._stream_interval = stream_interval

    def command(self) -> list[str]:
        """With the engine settings that Trivet's configuration gives its own."""
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--host", self.host, "--port", str(self.port), "--disable-uvicorn-access-log"]
        command += ["--model", str(self._workload.model), "--served-model-name", MODEL_NAME]
        for name, value in self._workload.engine().items():
            option = f"--{name.replace('_', '-')}"
            command += [option] * value if isinstance(value, bool) else [option, str(value)]
        command += ["--enable-prefix-caching", "--scheduling-policy", "priority"]
        return [*command, "--enable-prompt-tokens-details", "--stream-interval", str(self._stream_interval)]

    def environment(self) -> dict[str, str]:
        """The same as Trivet's engine has."""
        return engine_environment(self._workload.folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
