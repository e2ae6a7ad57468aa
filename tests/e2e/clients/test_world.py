"""Clients that the world has, unmodified: each does the same against one running server, and gets the same."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients.environment import clients_python
from tests.support.clients.node import npm_install, tool
from tests.support.gateway.harness import Gateway, gateway
from trivet.cli.server.process import ServerProcess
from trivet.types.generation import RequestedCall
from trivet.types.request import KeyRole

pytestmark = pytest.mark.engine

PROGRAMS = Path(__file__).parent / "programs"
MODEL = Path(__file__).parents[3] / "models" / "demo" / "weights"
LOAD = 8  # requests of a load generator
ANSWER = "60 metres"
CALL = RequestedCall("find", '{"day": "Sunday"}', "c1")
EXPECTED = {
    "whole": ANSWER,
    "stream": ANSWER,
    "asynchronous": [ANSWER, ANSWER],
    "parsed": ["zeal", "good"],
    "calls": [["find", {"day": "Sunday"}]],
    "streamed_calls": [["find", {"day": "Sunday"}]],
    "after_a_call": True,
    "failure": "model_not_found",
}
RESPONSES = {
    "whole": ANSWER,
    "stream": ANSWER,
    "ends": "response.completed",
    "parsed": ["zeal", "good"],
    "calls": ["find", {"day": "Sunday"}],
    "after_a_call": True,
}
OTHERS = {
    "several": [ANSWER, ANSWER],
    "continued": [[0, "length"], [1, "length"]],
    "dimensions": [384, 384],
}
TRITON = {
    "models": [True, True, True, False],
    "metadata": ["support", "text_input", "text_output"],
    "whole": [ANSWER, "stop", True],
    "stream": [ANSWER, [True]],
    "asynchronous": ANSWER,
    "two_at_once": ["I look.", "I look."],
    "failure": ["StatusCode.NOT_FOUND", True],
}


@pytest.fixture
async def calling(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway whose model says a word and calls a tool; the demo's model cannot."""
    async with gateway(tmp_path, http=True, keys=(("secret-a", "a", KeyRole.CLIENT),)) as running:
        running.backend.script, running.backend.tool_calls = ["I look."], (CALL,)
        yield running


def run(command: list[str], server: ServerProcess, calling: Gateway) -> dict[str, Any]:
    return run_at(command, *(f"http://{address}/v1" for address in (server.http_address, calling.http)))


def run_at(command: list[str], *bases: str) -> dict[str, Any]:
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGSMITH_TRACING": "false", "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [*command, *bases], env={**os.environ, **quiet}, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def check(found: dict[str, Any], calling: Gateway, *, whole_api: bool = False) -> None:
    assert found.pop("responses", None) == (RESPONSES if whole_api else None)
    assert found.pop("others", None) == (OTHERS if whole_api else None)
    assert 0 < found.pop("tokens") < 48
    assert found == EXPECTED
    lengths = [len(request.token_ids) for request in calling.backend.requests]
    assert max(lengths) > min(lengths), "what the tool found reached the model"


@pytest.mark.parametrize("name", ["openai", "langchain", "llama_index", "litellm"])
async def test_clients_in_python(name: str, server: ServerProcess, calling: Gateway) -> None:
    command = [str(await asyncio.to_thread(clients_python)), str(PROGRAMS / f"{name}_client.py")]
    check(await asyncio.to_thread(run, command, server, calling), calling, whole_api=name == "openai")


async def test_the_client_of_triton(server: ServerProcess, calling: Gateway) -> None:
    command = [str(await asyncio.to_thread(clients_python)), str(PROGRAMS / "triton_client.py")]
    assert await asyncio.to_thread(run_at, command, server.target.address, calling.address) == TRITON


async def test_the_load_generator_of_vllm(server: ServerProcess, tmp_path: Path) -> None:
    """`vllm bench serve`: it streams, takes the tokens from the usage, and finds nothing failed."""
    found = tmp_path / "found.json"
    command = [sys.executable, str(PROGRAMS / "vllm_bench.py"), "--backend", "openai-chat", "--model", "support"]
    command += ["--base-url", f"http://{server.http_address}", "--endpoint", "/v1/chat/completions"]
    command += ["--tokenizer", str(MODEL), "--dataset-name", "random"]
    command += ["--random-input-len", "12", "--random-output-len", "8", "--extra-body", '{"ignore_eos": false}']
    command += ["--num-prompts", str(LOAD), "--max-concurrency", "4", "--disable-tqdm", "--temperature", "0"]
    command += ["--save-result", "--save-detailed", "--result-dir", str(tmp_path), "--result-filename", found.name]
    done = await asyncio.to_thread(
        subprocess.run, command, env={**os.environ, "NO_PROXY": "127.0.0.1"}, capture_output=True, timeout=150
    )
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    told = json.loads(found.read_text())
    assert (told["completed"], told["failed"], told["errors"]) == (LOAD, 0, [""] * LOAD)
    assert told["total_output_tokens"] > 0
    assert all(0 < tokens <= 8 for tokens in told["output_lens"])


async def test_the_newest_package_of_openai(server: ServerProcess, calling: Gateway) -> None:
    command = [sys.executable, str(PROGRAMS / "openai_client.py")]
    check(await asyncio.to_thread(run, command, server, calling), calling, whole_api=True)


async def test_the_package_of_openai_for_javascript(server: ServerProcess, calling: Gateway, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(PROGRAMS / "node", tmp_path / "node", ignore=shutil.ignore_patterns("node_modules")))
    await asyncio.to_thread(npm_install, folder)
    command = [*tool("node"), str(folder / "client.mjs")]
    check(await asyncio.to_thread(run, command, server, calling), calling)
