"""An engine node and a gateway as processes: served, drained, killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.fleet.nodes import Node, gateway_config
from trivet.api.v1 import inference_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import CallFailed, Client

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def trivet(server: ServerProcess, *words: str) -> str:
    command = [sys.executable, "-m", "trivet.cli", *words, "--admin-address", server.target.admin_address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(client: Client, route: str) -> inference_pb2.GenerateResponse:
    message = inference_pb2.Message(role="user", content="The pump leaks. What now?")
    return client.generate(inference_pb2.GenerateRequest(route=route, messages=[message]))


def when_warm(client: Client, route: str) -> inference_pb2.GenerateResponse:
    """The answer once the fleet, which was without a node, has been warmed again."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return ask(client, route)
        except CallFailed as failure:
            if failure.code != "UNAVAILABLE" or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_a_node_and_a_gateway(tmp_path: Path) -> None:
    """The node fetches its adapters by itself, answers, is drained by a command; its death is told and survived."""
    with Node(tmp_path, 1, machine={"usd_per_hour": 2.5}) as node:
        node.wait()
        config = gateway_config(tmp_path / "gateway", [node])
        with (
            ServerProcess(config, tmp_path / "gateway" / "data", output=tmp_path / "log") as server,
            Client(server.target, timeout=60) as client,
        ):
            first, second = ask(client, "json"), ask(client, "json")
            assert first.text == second.text
            assert first.receipt.adapter == "json-answer@1"
            assert first.receipt.node == "node-1"
            assert first.receipt.cost.basis == "machine"
            assert first.receipt.cost.total > 0
            assert second.receipt.cached_tokens >= second.receipt.expected_cached_tokens > 0
            nodes = json.loads(trivet(server, "fleet", "ls", "--json"))
            assert [(one["name"], one["state"], len(one["adapters"])) for one in nodes] == [("node-1", "ready", 2)]
            trivet(server, "fleet", "drain", node.address)
            with pytest.raises(CallFailed) as refused:
                ask(client, "base")
            assert (refused.value.code, refused.value.reason) == ("UNAVAILABLE", "BACKEND_UNAVAILABLE")
            trivet(server, "fleet", "undrain", node.address)
            assert when_warm(client, "json").text == first.text
            node.kill()
            with pytest.raises(CallFailed) as lost:
                ask(client, "base")
            assert lost.value.code == "UNAVAILABLE"
            assert lost.value.retry_after is not None
            assert not client.serving()
