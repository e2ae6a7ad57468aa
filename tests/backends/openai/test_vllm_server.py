"""A stock vLLM server as an endpoint: asked by ids and by messages, its adapter by name; its counts are ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.fleet.nodes import ROOT
from benchmarks.fleet.served import free_port, scrape
from benchmarks.measuring.servers import engine_environment
from trivet.api.v1 import inference_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import CallFailed, Client

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
MODEL = ROOT / "models" / "demo" / "weights"
QUESTION = "What does the Hub weigh? <|end|>"
START_SECONDS = 500.0


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address. The adapter is loaded by its operator, under a name of their own."""
    folder, address = tmp_path_factory.mktemp("vllm"), f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1"]
    command += ["--port", address.rpartition(":")[2], "--model", str(MODEL), "--served-model-name", "demo"]
    command += ["--dtype", "float32", "--block-size", "32", "--max-model-len", "1024", "--max-num-seqs", "8"]
    command += ["--kv-cache-memory-bytes", str(64 << 20), "--enforce-eager", "--enable-prompt-tokens-details"]
    command += ["--enable-lora", "--max-loras", "2", "--max-lora-rank", "16"]
    command += ["--lora-modules", f"writes-json={ROOT / 'adapters' / 'json-answer' / '1'}", "--api-key", "sk-secret"]
    environment = {**os.environ, **engine_environment(folder), "VLLM_PLUGINS": "trivet_cpu_lora"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, process_group=0)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not healthy(address):
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, (folder / "log").read_text()[-2000:]
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # a stock engine may outlive its server
        process.wait()


def healthy(address: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://{address}/health", timeout=5):
        return True
    return False


def backend(address: str, **changes: Any) -> dict[str, Any]:
    usual = {
        "kind": "openai", "url": f"http://{address}/v1", "served_model": "demo", "model": str(MODEL), "key_file": "key",
        "max_model_len": 900,
    }  # fmt: skip
    return {**usual, **changes}


@pytest.fixture(scope="module")
def served(vllm: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, Client]]:
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "key").write_text("sk-secret")
    backends = {
        "ids": backend(vllm, token_ids=True),
        "found": backend(vllm),
        "messages": backend(vllm, token_ids=False),
        "json": backend(vllm, served_model="writes-json"),
        "endless": backend(vllm, extra_body={"ignore_eos": True}),
        "away": backend("127.0.0.1:9"),
    }
    settings = {
        "backends": backends,
        "prompts": str(ROOT / "prompts"),
        "prices": {"ids": {f"{kind}_per_million_tokens": 1.0 for kind in ("input", "cached", "output")}},
        "routes": {
            name: {
                "variants": {
                    "a": {
                        "weight": 1, "backend": name, "prompt": "support-json@2", "sampling": {"max_tokens": 48},
                    }
                }
            }
            for name in backends
        },
    }  # fmt: skip
    (folder / "trivet.yaml").write_text(yaml.safe_dump(settings))
    with (
        ServerProcess(folder / "trivet.yaml", folder / "data", output=folder / "log") as server,
        Client(server.target, timeout=60) as client,
    ):
        yield server, client
    assert "sk-secret" not in (folder / "log").read_text()


def ask(client: Client, route: str, **fields: Any) -> inference_pb2.GenerateResponse:
    message = inference_pb2.Message(role="user", content=QUESTION)
    return client.generate(inference_pb2.GenerateRequest(route=route, messages=[message], **fields))


def told(address: str, name: str) -> float:
    """A metric of vLLM's own."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = [sample for family in families for sample in family.samples if sample.name == f"vllm:{name}"]
    assert samples, name
    return sum(sample.value for sample in samples)


def counters(address: str) -> dict[str, float]:
    """vLLM's own counts of tokens."""
    return {kind: told(address, f"{kind}_tokens_total") for kind in ("prompt", "generation")}


def test_ids_messages_and_an_adapter(vllm: str, served: tuple[ServerProcess, Client]) -> None:
    """Ids and messages make the same prompt of a plain text; what vLLM counted is what receipts say."""
    _, client = served
    before = counters(vllm)
    first, second = ask(client, "ids"), ask(client, "ids")
    found, messages, adapted = ask(client, "found"), ask(client, "messages"), ask(client, "json")
    assert first.text == second.text == found.text != ""
    assert first.receipt.input_tokens == second.receipt.input_tokens == found.receipt.input_tokens
    assert second.receipt.cached_tokens > 0
    assert not second.receipt.HasField("expected_cached_tokens")
    assert not any(one.receipt.degraded for one in (first, found, messages, adapted))
    assert first.receipt.cost.total > 0
    json.loads(adapted.text)
    assert adapted.text != first.text
    receipts = [one.receipt for one in (first, second, found, messages, adapted)]
    after = counters(vllm)
    assert sum(receipt.input_tokens for receipt in receipts) == after["prompt"] - before["prompt"]
    assert sum(receipt.output_tokens for receipt in receipts) == after["generation"] - before["generation"]


def test_control_tokens_of_a_users_text_stay_text_with_ids(served: tuple[ServerProcess, Client]) -> None:
    """The same question has more tokens by ids, for its marker is written out; vLLM's template takes it for a mark."""
    _, client = served
    assert ask(client, "ids").receipt.input_tokens > ask(client, "messages").receipt.input_tokens


def test_one_who_leaves_ends_the_work(vllm: str, served: tuple[ServerProcess, Client]) -> None:
    """The backend's `extra_body` has the answer never end by itself."""
    _, client = served
    message = inference_pb2.Message(role="user", content=QUESTION)
    before = counters(vllm)["generation"]
    request = inference_pb2.GenerateRequest(route="endless", messages=[message], max_tokens=700)
    with client.generate_stream(request) as stream:
        next(stream)
    made = -1.0
    while made != (made := counters(vllm)["generation"] - before):
        time.sleep(2)
    assert 0 < made < 700


def test_an_endpoint_that_is_away_keeps_no_other_from_serving(served: tuple[ServerProcess, Client]) -> None:
    server, client = served
    with pytest.raises(CallFailed) as refused:
        ask(client, "away")
    assert (refused.value.code, refused.value.reason) == ("UNAVAILABLE", "BACKEND_UNAVAILABLE")
    up = {
        labels: value for (name, labels), value in scrape(server.metrics_address).items() if name == "trivet_engine_up"
    }
    assert up['backend="away"'] == 0
    assert up['backend="ids"'] == 1
