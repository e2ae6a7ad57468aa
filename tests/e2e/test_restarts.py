"""Engines that die under load, with two of them in one server: what fails, what goes on, what comes back by itself."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.gateway.serving import below, engine, metrics, page, until
from tests.support.processes import gone
from trivet.api.v1 import admin_pb2, inference_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import CallFailed, Client

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
BACK = 300.0  # seconds until an engine is back, on a busy machine
TICKET = "The parcel came with a broken lid."
ENGINE = {
    "kind": "embedded", "model": str(ROOT / "models/demo/weights"), "dtype": "float32", "block_size": 32,
    "max_model_len": 2048, "max_num_seqs": 8, "kv_cache_memory_bytes": 64 << 20, "restart": {"first_delay": 2},
}  # fmt: skip


def variant(backend: str, prompt: str, **fields: Any) -> dict[str, Any]:
    return {"variants": {"only": {"weight": 1, "backend": backend, "prompt": prompt, **fields}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Two engines on the same model: `tuned` with an adapter, `plain` without."""
    folder = tmp_path_factory.mktemp("two-engines")
    shutil.copytree(ROOT / "adapters/ticket-sorter/1", folder / "adapters/ticket-sorter/1")
    config = {
        "version": 1,
        "prompts": str(ROOT / "prompts"),
        "backends": {"tuned": {**ENGINE, "max_loras": 2}, "plain": {**ENGINE, "enable_lora": False}},
        "routes": {
            "tickets": variant("tuned", "tickets@1", adapter="ticket-sorter@1"),
            "base": variant("tuned", "support@1"),
            "other": variant("plain", "support@1"),
        },
    }
    (folder / "trivet.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    with ServerProcess(folder / "trivet.yaml", folder / "data") as process:
        yield process


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with Client(server.target, timeout=60) as open_client:
        yield open_client


def request(route: str, text: str = TICKET, **fields: Any) -> inference_pb2.GenerateRequest:
    message = inference_pb2.Message(role="user", content=text)
    return inference_pb2.GenerateRequest(route=route, messages=[message], **fields)


def endless(route: str, max_tokens: int = 1500) -> inference_pb2.GenerateRequest:
    """A request whose answer is as long as it may be: the schema holds it back from an end."""
    asked = request(route, max_tokens=max_tokens)
    asked.json_schema.update({"type": "array", "items": {"type": "integer"}, "minItems": 1000})
    return asked


def outcome(client: Client, asked: inference_pb2.GenerateRequest, begun: threading.Semaphore) -> grpc.RpcError | None:
    """How a stream ended; `begun` is released by its first text."""
    try:
        for position, _ in enumerate(client._inference.GenerateStream(asked, timeout=120)):
            if position == 0:
                begun.release()
    except grpc.RpcError as error:
        return error
    return None


def expect_unavailable(error: Any) -> None:
    """UNAVAILABLE as the contract has it: why, when to try again (twice told), and the receipt."""
    assert error is not None
    assert error.code() is grpc.StatusCode.UNAVAILABLE, error
    trailers = dict(error.trailing_metadata())
    assert int(trailers["grpc-retry-pushback-ms"]) > 0
    kinds = {detail.type_url.rpartition(".")[2]: detail for detail in _details(trailers)}
    assert {"ErrorInfo", "RetryInfo", "Receipt"} <= kinds.keys()
    info = error_details_pb2.ErrorInfo()
    kinds["ErrorInfo"].Unpack(info)
    assert info.reason == "BACKEND_UNAVAILABLE"


def _details(trailers: dict[str, Any]) -> list[Any]:
    return list(status_pb2.Status.FromString(trailers["grpc-status-details-bin"]).details)


def ready(client: Client) -> dict[str, bool]:
    """Whether each route's variant is ready."""
    return {route.name: route.variants[0].ready for route in client.list_routes().routes}


def until_ready(client: Client, *routes: str) -> None:
    until(lambda: all(ready(client)[name] for name in routes), BACK)


def restarts(server: ServerProcess, backend: str) -> float:
    return metrics(server)[f'trivet_engine_restarts_total{{backend="{backend}"}}']


class HealthHistory:
    """What a health watch was told, each status once, until the block ends."""

    def __init__(self, address: str, service: str) -> None:
        self.told: list[str] = []
        self._channel = grpc.insecure_channel(address)
        asked = health_pb2.HealthCheckRequest(service=service)
        self._watch = health_pb2_grpc.HealthStub(self._channel).Watch(asked)
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> HealthHistory:
        self._thread.start()
        until(lambda: bool(self.told))
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.cancel()
        self._thread.join()
        self._channel.close()

    def _read(self) -> None:
        try:
            for response in self._watch:
                self.told.append(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))
        except grpc.RpcError:
            return


def test_each_backend_has_a_process_a_log_and_metrics_of_its_own(server: ServerProcess, client: Client) -> None:
    assert engine(server, "tuned") != engine(server, "plain")
    assert ready(client) == {"tickets": True, "base": True, "other": True}
    answers = {name: client.generate(request(name, max_tokens=8)) for name in ("tickets", "base", "other")}
    assert answers["base"].text == answers["other"].text
    assert {name: answer.receipt.backend for name, answer in answers.items()} == {
        "tickets": "tuned", "base": "tuned", "other": "plain",
    }  # fmt: skip
    samples = metrics(server)
    for backend in ("tuned", "plain"):
        assert samples[f'trivet_engine_up{{backend="{backend}"}}'] == 1
        assert samples[f'vllm:generation_tokens_total{{engine="0",model_name="{backend}"}}'] > 0
    families = [line for line in page(server) if line.startswith("# TYPE")]
    assert len(families) == len(set(families))


def test_a_death_is_told_to_its_own_requests_alone_and_everything_comes_back(
    server: ServerProcess, client: Client
) -> None:
    asked = [*map(endless, ("base", "tickets", "base", "tickets")), endless("other", max_tokens=200)]
    alone = {name: client.generate(request(name, max_tokens=8)).text for name in ("tickets", "base")}
    (adapter,) = client.list_adapters().adapters
    begun = threading.Semaphore(0)
    with HealthHistory(server.target.address, "") as health, ThreadPoolExecutor(len(asked)) as pool:
        streams = [pool.submit(outcome, client, item, begun) for item in asked]
        for _ in asked:
            assert begun.acquire(timeout=30)
        os.kill(engine(server, "tuned"), signal.SIGKILL)
        *killed, other = streams
        for stream in killed:
            expect_unavailable(stream.result(120))
        with pytest.raises(CallFailed, match="UNAVAILABLE") as refused:
            client.generate(request("base"))
        assert refused.value.retry_after
        assert ready(client) == {"tickets": False, "base": False, "other": True}
        assert metrics(server)['trivet_engine_up{backend="tuned"}'] == 0
        assert client.generate(request("other", max_tokens=4)).text
        assert other.result(120) is None
        until_ready(client, "base", "tickets")
    assert health.told == ["SERVING"]

    for name in ("tickets", "base"):
        answer = client.generate(request(name, max_tokens=8))
        assert answer.text == alone[name]
        assert answer.receipt.expected_cached_tokens >= 32
        assert answer.receipt.cached_tokens == answer.receipt.expected_cached_tokens
    (again,) = client.list_adapters().adapters
    assert again.state == admin_pb2.ADAPTER_STATE_READY
    assert (again.engine_name, again.digest) == (adapter.engine_name, adapter.digest)
    assert (restarts(server, "tuned"), restarts(server, "plain")) == (1, 0)
    assert metrics(server)["trivet_requests_in_flight"] == 0


def test_health_tells_when_nothing_is_served_and_a_start_that_is_killed_is_tried_again(
    server: ServerProcess, client: Client
) -> None:
    address = server.target.address
    before = restarts(server, "tuned")
    with HealthHistory(address, "") as health, HealthHistory(address, "liveness") as liveness:
        engines = [engine(server, name) for name in ("plain", "tuned")]
        for pid in engines:
            os.kill(pid, signal.SIGKILL)
        for name in ("base", "other"):
            with pytest.raises(CallFailed, match="UNAVAILABLE"):
                client.generate(request(name))
        started = engine(server, "tuned", other_than=engines[1], seconds=BACK)
        os.kill(started, signal.SIGKILL)
        until_ready(client, "base", "tickets", "other")
    assert health.told == ["SERVING", "NOT_SERVING", "SERVING"]
    assert liveness.told == ["SERVING"]
    assert restarts(server, "tuned") == before + 2
    for name in ("tickets", "base", "other"):
        receipt = client.generate(request(name, max_tokens=4)).receipt
        assert receipt.cached_tokens == receipt.expected_cached_tokens >= 32


def test_an_adapter_that_cannot_come_back_keeps_no_other_from_serving(server: ServerProcess, client: Client) -> None:
    source, hidden = server.config.parent / "adapters", server.config.parent / "hidden"
    os.kill(engine(server, "tuned"), signal.SIGKILL)
    source.rename(hidden)
    shutil.rmtree(server.data_dir / "adapters")
    until(lambda: not ready(client)["base"])
    until_ready(client, "base")
    assert ready(client) == {"tickets": False, "base": True, "other": True}
    with pytest.raises(CallFailed, match=r"UNAVAILABLE"):
        client.generate(request("tickets"))
    until(lambda: client.list_adapters().adapters[0].state == admin_pb2.ADAPTER_STATE_FAILED)
    assert client.list_adapters().adapters[0].problem
    assert client.generate(request("base", max_tokens=4)).text
    hidden.rename(source)
    until_ready(client, "tickets")
    assert client.generate(request("tickets", max_tokens=4)).receipt.adapter == "ticket-sorter@1"


def test_sigterm_while_engines_restart_ends_everything(server: ServerProcess) -> None:
    """The last one: the server is gone after it."""
    engines = [engine(server, name) for name in ("tuned", "plain")]
    for pid in engines:
        os.kill(pid, signal.SIGKILL)
    engine(server, "tuned", other_than=engines[0], seconds=BACK)
    processes = [item.pid for item in below(server.pid)]
    os.kill(server.pid, signal.SIGTERM)
    assert server.wait() == 0
    assert all(gone(pid) for pid in processes)
    assert not (server.data_dir / "server.json").exists()
