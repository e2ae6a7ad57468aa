"""The client's wheel, installed alone: complete, typed, and enough to call a gateway."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.gateway.harness import gateway
from tests.support.pages.installing import ROOT, build_wheel, environment, install

pytestmark = pytest.mark.process

PROGRAM = """
import sys
from trivet.api.v1.inference_pb2 import GenerateRequest, Message
from trivet.client import CallFailed, Client, Retry, Target

request = GenerateRequest(route="plain", messages=[Message(role="user", content="hello")])
with Client(Target(sys.argv[1]), retry=Retry()) as client:
    print(client.generate(request).text)
    with client.generate_stream(request) as events:
        print("".join(event.delta.text for event in events))
    try:
        client.generate(GenerateRequest(route="nowhere", messages=request.messages))
    except CallFailed as error:
        print(error.reason)
"""
TYPED = """
from trivet.api.v1.inference_pb2 import GenerateRequest
from trivet.client import AsyncClient, Client, Target


def text(client: Client) -> str:
    return client.generate(GenerateRequest(route="plain")).text

async def texts(client: AsyncClient) -> list[str]:
    return [event.delta.text async for event in client.generate_stream(GenerateRequest(route="plain"))]

wrong: int = Client(Target()).generate(GenerateRequest()).text
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel and what it asks for, nothing else."""
    folder = tmp_path_factory.mktemp("client")
    wheel = build_wheel(ROOT / "clients" / "python", folder / "dist")
    made = environment(folder / "venv")
    install(made, str(wheel))
    return made


def run(python: Path, *arguments: str, cwd: Path) -> str:
    done = subprocess.run([python, "-I", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_brings_grpc_and_protobuf_alone(python: Path, tmp_path: Path) -> None:
    code = "from importlib.metadata import distributions; print(*sorted(d.name for d in distributions()))"
    found = set(run(python, "-c", code, cwd=tmp_path).split()) - {"pip", "setuptools"}
    assert found == {"trivet-client", "grpcio", "protobuf", "googleapis-common-protos", "typing_extensions"}


async def test_it_calls_a_gateway(python: Path, tmp_path: Path) -> None:
    async with gateway(tmp_path) as served:
        said = await asyncio.to_thread(run, python, "-c", PROGRAM, served.address, cwd=tmp_path)
    assert said.splitlines() == ["one two three", "one two three", "UNKNOWN_ROUTE"]


def test_a_strict_type_checker_knows_it(python: Path, tmp_path: Path) -> None:
    (tmp_path / "use.py").write_text(TYPED)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "use.py"]
    clean = {"PATH": "", "MYPY_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=120, check=False)
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 1, done.stdout + done.stderr
    assert "Incompatible types in assignment" in errors[0]


def test_server_and_client_have_one_version() -> None:
    server = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    client = tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text())["project"]
    assert server["version"] == client["version"]
    assert f"trivet-client=={client['version']}" in server["dependencies"]
    assert set(client["dependencies"]) <= set(server["dependencies"])
