"""A new project serves at the first try: written, checked, started, asked and evaluated as its README tells."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner, Result
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.retrieval.exported_models import with_exports
from trivet.cli.main import main

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
SERVING = health_pb2.HealthCheckResponse.SERVING


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


@contextmanager
def served(project: Path, log: Path, ports: list[int]) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "trivet.cli.child", "serve"]
    for option, port in zip(("--listen", "--admin-listen", "--metrics-listen"), ports, strict=True):
        command += [option, f"127.0.0.1:{port}"]
    with log.open("wb") as file, subprocess.Popen(command, cwd=project, stderr=file) as process:
        try:
            yield process
        finally:
            process.kill()


def statuses_until_ready(process: subprocess.Popen[bytes], address: str) -> list[tuple[str, str]]:
    """What health says, each time that it is asked, of the process and of the service; ends when it serves."""
    found: list[tuple[str, str]] = []
    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while not found or found[-1][1] != "SERVING":
            assert process.poll() is None, "the server ended"
            said = []
            for service in ("liveness", ""):
                try:
                    answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
                    said.append(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
                except grpc.RpcError as error:
                    said.append(error.code().name)
            found.append((said[0], said[1]))
            time.sleep(0.2)
    return found


def test_a_new_project_serves_at_the_first_try(
    tmp_path: Path, embedding_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, ports = tmp_path / "shop", free_ports(3)
    clients, operators = f"127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}"

    def trivet(*arguments: str) -> Result:
        runner = CliRunner(env={"TRIVET_ADDRESS": clients, "TRIVET_ADMIN_ADDRESS": operators})
        result = runner.invoke(main, arguments)
        assert result.exit_code == 0, result.output
        return result

    trivet("init", str(project))
    monkeypatch.chdir(project)
    trivet("check")
    for data in (project / ".data", project / ".data" / "evals" / "server"):
        with_exports(data, embedding_cache)
    with served(project, tmp_path / "log", ports) as process:
        said = statuses_until_ready(process, clients)
        begun = next(i for i, (liveness, _) in enumerate(said) if liveness == "SERVING")
        assert {liveness for liveness, _ in said[begun:]} == {"SERVING"}
        assert ("SERVING", "NOT_SERVING") in said
        trivet("index", "build", "products")
        asked = json.loads(trivet("ask", "What is the weight of the Alder Tent?", "--unit", "u", "--json").stdout)
        assert "2.4 kilograms" in asked["text"]
        assert [citation["document_id"] for citation in asked["citations"]] == ["alder-tent"]
        account = json.loads(trivet("receipt", asked["receipt"]["request_id"], "--json").stdout)
        assert account == asked["receipt"]
        assert json.loads(trivet("status", "--json").stdout)["serving"] is True
        assert "assistant  candidate  10.0%  yes" in trivet("route", "ls").stdout
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    log = (tmp_path / "log").read_text()
    assert "a caller without a key has built index products" in log
    assert "leaked" not in log
    assert "Traceback" not in log
    report = json.loads(trivet("eval", "products", "--arm", "stable", "--json").stdout)
    (stable,) = report["parts"][0]["arms"]
    assert report["parts"][0]["n"] == 5
    assert stable["estimates"]["correct"]["value"] >= 0.8, stable
