"""The servers under test as child processes: Trivet's, and vLLM's own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from cpu_time import command_line, descendants
from workload import BLOCK_SIZE, CONTEXT, KV_CACHE_BYTES, MAX_NUM_SEQS, MODEL_NAME, Workload

START_TIMEOUT = 240.0
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


class Server:
    """A child process that serves, from `with` to its end. `started` is how long it took, in seconds."""

    def __init__(self, name: str, command: list[str], log: Path, environment: dict[str, str]) -> None:
        self._name = name
        self._command = command
        self._log_path = log
        self._environment = environment
        self.started = 0.0

    def __enter__(self) -> Self:
        begin = time.perf_counter()
        self._log = self._log_path.open("w")
        self._process = subprocess.Popen(
            self._command, stdout=self._log, stderr=self._log, env={**os.environ, **self._environment}
        )
        try:
            self._wait(self._is_ready)
        except BaseException:
            self._stop()
            raise
        self.started = time.perf_counter() - begin
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def pid(self) -> int:
        """Of the front end."""
        return self._process.pid

    def processes(self) -> dict[str, list[int]]:
        """Process ids by what they are: `front`, `engine`, and `vector` where there is one."""
        groups: dict[str, list[int]] = {"front": [self.pid], "engine": [], "vector": []}
        for pid in descendants(self.pid):
            groups["vector" if "trivet.vector" in command_line(pid) else "engine"].append(pid)
        return groups

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to the front end."""
        self._process.send_signal(number)

    def _is_ready(self) -> bool:
        raise NotImplementedError

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not condition():
            if self._process.poll() is not None:
                raise ServerFailedError(
                    f"{self._name} ended with code {self._process.returncode}; see {self._log_path}"
                )
            if time.monotonic() > deadline:
                raise ServerFailedError(f"{self._name} was not ready in {START_TIMEOUT:g} s; see {self._log_path}")
            time.sleep(POLL)

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


class TrivetServer(Server):
    """System (b): `trivet serve`. With `profile`, under cProfile (see profiled.py), which writes to that file."""

    def __init__(self, workload: Workload, profile: Path | None = None) -> None:
        self._data = workload.folder / "data"
        runner = ["-m", "trivet.cli"]
        if profile is not None:
            runner = [str(Path(__file__).with_name("profiled.py")), str(profile)]
        command = [sys.executable, *runner, "serve", "--config", str(workload.config), "--data-dir", str(self._data)]
        for option in ("--listen", "--admin-listen", "--metrics-listen"):
            command += [option, "127.0.0.1:0"]
        super().__init__("trivet serve", command, workload.folder / "trivet.log", {})
        self.address = ""
        self.admin_address = ""
        self.metrics_address = ""

    def _is_ready(self) -> bool:
        try:
            said = json.loads((self._data / "server.json").read_text())
        except FileNotFoundError:
            return False
        self.address, self.admin_address = said["listen"], said["admin_listen"]
        self.metrics_address = said["metrics_listen"]
        return bool(said["pid"] == self.pid)


class VllmServer(Server):
    """System (c): vLLM's OpenAI-compatible HTTP server."""

    def __init__(self, workload: Workload, stream_interval: int = 1) -> None:
        self.host, self.port = "127.0.0.1", _free_port()
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--host", self.host, "--port", str(self.port), "--disable-uvicorn-access-log"]
        command += ["--model", str(workload.model), "--served-model-name", MODEL_NAME]
        command += ["--dtype", "float32", "--block-size", str(BLOCK_SIZE), "--max-model-len", str(CONTEXT)]
        command += ["--max-num-seqs", str(MAX_NUM_SEQS), "--kv-cache-memory-bytes", str(KV_CACHE_BYTES)]
        command += ["--enable-prefix-caching", "--enforce-eager", "--scheduling-policy", "priority"]
        command += ["--enable-prompt-tokens-details", "--stream-interval", str(stream_interval)]
        super().__init__("vLLM's server", command, workload.folder / "vllm.log", engine_environment(workload.folder))

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self.port}/health", timeout=1) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
