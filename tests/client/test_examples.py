"""The examples, run as they stand against a gateway."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.clients.node import npm_install, tool
from tests.support.gateway.certificates import self_signed
from tests.support.gateway.harness import gateway
from trivet.rpc.server import TlsFiles
from trivet.testing.backend import ScriptedBackend
from trivet.types.request import KeyRole

pytestmark = pytest.mark.process

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVICES = {"trivet.api.v1.Inference", "grpc.health.v1.Health"}


async def run(*command: str, cwd: Path, variables: Mapping[str, str] | None = None) -> list[str]:
    """A program's lines; it must succeed."""

    def call() -> list[str]:
        environment = {**os.environ, **(variables or {})}
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return await asyncio.to_thread(call)


async def python(name: str, *arguments: str, **variables: str) -> list[str]:
    return await run(sys.executable, name, *arguments, cwd=EXAMPLES / "python", variables=variables)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the examples and the .proto files, with the packages that they need."""
    copy = tmp_path_factory.mktemp("node")
    ignored = shutil.ignore_patterns("node_modules")
    folder = Path(shutil.copytree(EXAMPLES / "node", copy / "examples" / "node", ignore=ignored))
    shutil.copytree(EXAMPLES.parent / "proto", copy / "proto")
    npm_install(folder)
    return folder


async def test_threads(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served:
        said = await python("threads.py", served.address, "rag", "hello")
    assert said[0] == "one two three"
    assert said[1].startswith("[1] doc-a")
    assert said[3].startswith("3 tokens, request ")
    assert said[4].startswith("INVALID_REQUEST: {'messages")


async def test_event_loop(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served:
        said = await python("event_loop.py", served.address, "plain", "hello")
    assert said[0] == "whole: one two three"
    assert said[1].startswith("begun: one")


async def test_json_schema(tmp_path: Path) -> None:
    backend = ScriptedBackend(['{"answer": "60 metres", ', '"certain": true}'])
    async with gateway(tmp_path, backend=backend) as served:
        said = await python("json_schema.py", served.address, "plain", "hello")
    assert said == ["certain: True", "at /uniqueItems: is not enforced"]
    assert backend.requests[0].json_schema is not None


async def test_tls_and_key(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    keys = [("alpha", "acme", KeyRole.CLIENT)]
    async with gateway(tmp_path, keys=keys, tls=TlsFiles(files.certificate, files.key)) as served:
        arguments = (served.address, str(files.certificate), "plain", "hello")
        said = await python("tls_and_key.py", *arguments, TRIVET_KEY="alpha")
    assert said[0] == "one two three (as tenant acme)"
    assert said[1].startswith("UNAUTHENTICATED: ")


async def test_errors(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served:
        said = await python("errors.py", served.address, "plain", "hello")
    assert said[0] == "answer: one two three"
    assert said[1].startswith("INVALID_ARGUMENT, reason INVALID_REQUEST: ")
    assert said[2].startswith("  field messages: ")
    assert said[4].startswith("NOT_FOUND, reason UNKNOWN_ROUTE: ")


async def test_reflection(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served:
        said = await python("reflection.py", served.address, "plain", "hello")
    assert set(said[0].split()) >= SERVICES
    assert set(said[1].split()) >= {"Generate", "GenerateStream", "Retrieve"}
    assert said[2] == '"one two three"'


async def test_node_from_the_proto_files(tmp_path: Path, node: Path) -> None:
    async with gateway(tmp_path) as served:
        said = await run(*tool("node"), "stream.js", served.address, "rag", "hello", cwd=node)
    assert said[0] == "one two three"
    assert said[1].startswith("[1] doc-a")
    assert said[3].startswith("3 tokens, request ")
    assert said[4].startswith("NOT_FOUND, reason UNKNOWN_ROUTE: no route 'no-such-route'")


async def test_node_with_tls_and_a_key(tmp_path: Path, node: Path) -> None:
    files = self_signed(tmp_path)
    keys = [("alpha", "acme", KeyRole.CLIENT)]
    async with gateway(tmp_path, keys=keys, tls=TlsFiles(files.certificate, files.key)) as served:
        command = (*tool("node"), "stream.js", served.address, "plain", "hello")
        variables = {"TRIVET_KEY": "alpha", "CA_FILE": str(files.certificate)}
        said = await run(*command, cwd=node, variables=variables)
    assert said[0] == "one two three"


async def test_node_from_reflection(tmp_path: Path, node: Path) -> None:
    async with gateway(tmp_path) as served:
        said = await run(*tool("node"), "reflection.js", served.address, "plain", "hello", cwd=node)
    assert set(said[0].split()) >= SERVICES
    assert said[1] == "one two three"
