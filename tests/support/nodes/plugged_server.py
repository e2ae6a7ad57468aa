"""A stock vLLM server in a process of its own, in which an engine node is a plugin."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from trivet.fleet.remote.remote_engine import RemoteEngine
from trivet.types.adapter import StagedAdapter

PLUGINS = (
    "trivet_engine,trivet_prefix_salt,trivet_tenant_grammars,trivet_grammar_threads,trivet_eager_ranks,trivet_cpu_lora,"
    "trivet_cpu_seeds,trivet_thinking_budgets"
)
START_SECONDS = 500.0  # on a busy machine


@dataclass(frozen=True)
class PluggedServer:
    """`node`: where gateways reach it, `http`: its own port. `adapters`: the place that the node takes them from."""

    node: str
    http: str
    adapters: Path
    pid: int = 0

    def terminate(self) -> None:
        """As whoever runs it would."""
        os.kill(self.pid, signal.SIGTERM)

    def post(self, path: str, **body: Any) -> tuple[int, str]:
        """Status and text of what its HTTP port answers."""
        data = json.dumps(body).encode()
        asked = urllib.request.Request(
            f"http://{self.http}{path}", data=data, headers={"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def resident(self) -> set[int]:
        """Integer ids of the adapters that its engine's worker holds."""
        status, text = self.post("/collective_rpc", method="list_loras")
        assert status == 200, text
        return set(json.loads(text)["results"][0])


class PluggedEngine(RemoteEngine):
    """A gateway's view of it. Adapters that a test made are what the node finds in its place."""

    server: PluggedServer

    async def load_adapter(self, adapter: StagedAdapter) -> None:
        """See `RemoteEngine.load_adapter`."""
        there = self.server.adapters / adapter.ref.name / adapter.ref.version
        if not there.exists():
            shutil.copytree(adapter.path, there)
        await super().load_adapter(adapter)


@contextmanager
def plugged_server(model: Path, folder: Path) -> Iterator[PluggedServer]:
    """With the tiny model, two adapters in a step and eight in memory; its engine is stopped with it."""
    server = PluggedServer(f"127.0.0.1:{_free_port()}", f"127.0.0.1:{_free_port()}", folder / "adapters")
    server.adapters.mkdir()
    settings = {
        "name": "plugged",
        "listen": server.node,
        "metrics_listen": "127.0.0.1:0",
        "adapters": [str(server.adapters)],
    }
    (folder / "engine.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--host", "127.0.0.1", "--port", server.http.rpartition(":")[2], "--served-model-name", "tiny"]
    command += ["--dtype", "float32", "--block-size", "32", "--max-model-len", "1024", "--max-num-seqs", "64"]
    command += ["--kv-cache-memory-bytes", str(32 << 20), "--enforce-eager", "--enable-prefix-caching"]
    command += ["--enable-lora", "--max-loras", "2", "--max-cpu-loras", "8", "--max-lora-rank", "8"]
    command += ["--structured-outputs-config.backend", "xgrammar"]
    environment = {
        "VLLM_PLUGINS": PLUGINS,
        "TRIVET_ENGINE_CONFIG": str(folder / "engine.yaml"),
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        "VLLM_SERVER_DEV_MODE": "1",  # tells what the worker holds
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        **{name: str(folder / "cache" / name) for name in ("VLLM_CACHE_ROOT", "VLLM_CONFIG_ROOT", "HF_HOME")},
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **environment}, cwd=folder, process_group=0
        )
    try:
        _wait_until_ready(server, process, folder / "log")
        yield replace(server, pid=process.pid)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with suppress(ProcessLookupError):  # its engine is a child of it
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_ready(server: PluggedServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{server.http}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the server did not start: {log.read_text()[-3000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
