"""One server of two front-end processes over one engine process: shared ports, one account, a process killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from benchmarks.fleet.nodes import ENGINE, ROOT
from benchmarks.fleet.served import scrape
from tests.support.processes import gone
from tests.support.stores.postgres_server import PostgresServer, postgres_server
from trivet.api.v1 import admin_pb2, admin_pb2_grpc, inference_pb2, inference_pb2_grpc
from trivet.cli.server.process import ServerProcess
from trivet.costs.log_files import open_log

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1200)]
PATIENCE = 60.0  # seconds
CONNECTIONS = 12  # by chance all on one process once in 2,000 times
OWN = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def config(database: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("front-ends") / "trivet.yaml"
    variant = {
        "weight": 1, "backend": "local", "prompt": "support-json@2", "adapter": "json-answer@1",
        "sampling": {"max_tokens": 64},
    }  # fmt: skip
    settings = {
        "server": {"processes": 2},
        "state": {"url": database.new_database()},
        "backends": {"local": {**ENGINE, "max_num_seqs": 32}},
        "prompts": str(ROOT / "prompts"),
        "adapters": [str(ROOT / "adapters")],
        "routes": {"json": {"variants": {"a": variant}}},
    }
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="module")
def server(config: Path) -> Iterator[ServerProcess]:
    with ServerProcess(config, config.parent / "data", output=config.parent / "log") as process:
        yield process


def number_of(server: ServerProcess, request_id: str) -> int:
    """Of the process in whose log the request is."""
    logs = {number: server.data_dir / f"processes/{number}/receipts.jsonl" for number in (0, 1)}
    found = [number for number, log in logs.items() if request_id in log.read_text()]
    assert len(found) == 1, found
    return found[0]


def pid_of(server: ServerProcess, number: int) -> int:
    return int(json.loads((server.data_dir / f"processes/{number}/server.json").read_text())["pid"])


def request(route: str = "json", **fields: Any) -> inference_pb2.GenerateRequest:
    message = inference_pb2.Message(role="user", content="The pump leaks. What now?")
    return inference_pb2.GenerateRequest(route=route, messages=[message], **fields)


@asynccontextmanager
async def connections(server: ServerProcess, count: int = CONNECTIONS) -> AsyncIterator[list[Any]]:
    async with AsyncExitStack() as stack:
        opened = [grpc.aio.insecure_channel(server.target.address, options=OWN) for _ in range(count)]
        for channel in opened:
            stack.push_async_callback(channel.close)
        yield [inference_pb2_grpc.InferenceStub(channel) for channel in opened]


async def by_process(server: ServerProcess, stubs: list[Any]) -> list[tuple[int, Any, str]]:
    """Which process each connection leads to, by a request of its own."""
    answers = await asyncio.gather(*(stub.Generate(request()) for stub in stubs))
    assert len({answer.text for answer in answers}) == 1
    await asyncio.sleep(0.5)  # the logs are written behind the answers
    ids = [answer.receipt.request_id for answer in answers]
    return [(number_of(server, request_id), stub, request_id) for request_id, stub in zip(ids, stubs, strict=True)]


def samples(server: ServerProcess, name: str) -> dict[str, float]:
    return {
        labels: value for (found, labels), value in scrape(server.metrics_address, PATIENCE).items() if found == name
    }


async def test_accounts_of_both_are_one(server: ServerProcess) -> None:
    """Metrics are the sum of all receipts and of the engine's own count; a receipt is found wherever one asks."""
    async with connections(server) as stubs:
        placed = await by_process(server, stubs)
        assert {number for number, _, _ in placed} == {0, 1}
        for number, _, request_id in placed[:4]:
            asked = next(stub for other, stub, _ in placed if other != number)
            found = await asked.GetReceipt(inference_pb2.GetReceiptRequest(request_id=request_id))
            assert found.receipt.request_id == request_id
    with open_log(server.data_dir) as files:
        receipts = [json.loads(line) for file in files for line in file.stream.read().splitlines()]
    assert len(receipts) == sum(samples(server, "trivet_requests_total").values()) == len(placed)
    tokens = samples(server, "trivet_tokens_total")
    for kind, field in (("output", "output_tokens"), ("input_cached", "cached_tokens")):
        assert sum(receipt[field] for receipt in receipts) == sum(
            value for labels, value in tokens.items() if f'kind="{kind}"' in labels
        )
    warm = samples(server, "trivet_warmup_tokens_total")
    by_engine = samples(server, "trivet_node_tokens_total")
    for kind in ("output", "input_uncached"):
        told = sum(value for labels, value in (*tokens.items(), *warm.items()) if f'kind="{kind}"' in labels)
        assert told == sum(value for labels, value in by_engine.items() if f'kind="{kind}"' in labels)
    assert sum(samples(server, "trivet_process_up").values()) == 3


def add_route(config: Path, name: str) -> None:
    settings = yaml.safe_load(config.read_text())
    settings["routes"][name] = settings["routes"]["json"]
    config.write_text(yaml.safe_dump(settings))


async def test_a_reload_reaches_both(server: ServerProcess, config: Path) -> None:
    add_route(config, "second")
    async with grpc.aio.insecure_channel(server.target.admin_address) as channel:
        await admin_pb2_grpc.AdminStub(channel).ReloadRoutes(admin_pb2.ReloadRoutesRequest())  # type: ignore[no-untyped-call,unused-ignore]
    async with connections(server) as stubs:
        assert {number for number, _, _ in await by_process(server, stubs)} == {0, 1}
        async with asyncio.timeout(PATIENCE):
            for stub in stubs:
                while not await serves(stub, "second"):
                    await asyncio.sleep(0.1)


async def serves(stub: Any, route: str) -> bool:
    call = stub.Generate(request(route))
    code = await call.code()
    assert code in (grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND)
    return code is grpc.StatusCode.OK


async def test_a_process_that_is_killed_takes_its_own_requests_alone(server: ServerProcess) -> None:
    async with connections(server) as stubs:
        placed = await by_process(server, stubs)
        calls = [(number, stub.GenerateStream(request(max_tokens=400))) for number, stub, _ in placed]
        for _, call in calls:
            assert await call.read() is not grpc.aio.EOF
        killed = pid_of(server, 0)
        os.kill(killed, signal.SIGKILL)
        ends = await asyncio.gather(*(end_of(call) for _, call in calls))
        assert {(number, end) for (number, _), end in zip(calls, ends, strict=True)} == {
            (0, grpc.StatusCode.UNAVAILABLE), (1, grpc.StatusCode.OK),
        }  # fmt: skip
        assert gone(killed)
    async with connections(server) as stubs:
        await asyncio.gather(*(stub.Generate(request()) for stub in stubs))  # the port stays
    async with asyncio.timeout(300):
        while sum(samples(server, "trivet_process_up").values()) < 3:
            await asyncio.sleep(0.2)
    assert samples(server, "trivet_process_restarts_total")['process="0"'] == 1
    assert pid_of(server, 0) != killed
    async with connections(server) as stubs:
        assert {number for number, _, _ in await by_process(server, stubs)} == {0, 1}


async def end_of(call: Any) -> grpc.StatusCode:
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return error.code()
    return await call.code()


async def test_all_finish_what_they_have_before_they_stop(server: ServerProcess) -> None:
    """Last in this file: the server is gone afterwards, and nothing of it stays."""
    engine = int(json.loads((server.data_dir / "processes/engine-local/server.json").read_text())["pid"])
    processes = [engine, *(pid_of(server, number) for number in (0, 1))]
    async with connections(server) as stubs:
        calls = [stub.GenerateStream(request(max_tokens=300)) for stub in stubs]
        for call in calls:
            assert await call.read() is not grpc.aio.EOF
        os.kill(server.pid, signal.SIGTERM)
        assert set(await asyncio.gather(*(end_of(call) for call in calls))) == {grpc.StatusCode.OK}
    assert await asyncio.to_thread(server.wait) == 0
    assert all(gone(pid) for pid in processes)
