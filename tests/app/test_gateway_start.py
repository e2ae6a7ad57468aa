"""A start takes long: meanwhile the listeners are there, and it can be given up."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner
from grpc_health.v1 import health_pb2, health_pb2_grpc

from trivet.api.v1 import admin_pb2, admin_pb2_grpc, inference_pb2, inference_pb2_grpc
from trivet.app.engines import Engines
from trivet.app.gateway import Gateway, components
from trivet.cli.console.progress import LoggedProgress
from trivet.cli.main import main
from trivet.config import Config, load_config


def new_gateway(folder: Path) -> tuple[Gateway, Config]:
    """Of a new project, on free ports."""
    assert CliRunner().invoke(main, ["init", str(folder / "shop")]).exit_code == 0
    path = folder / "shop" / "trivet.yaml"
    text = path.read_text()
    for port in ("7600", "7601", "7602"):
        text = text.replace(f"127.0.0.1:{port}", "127.0.0.1:0")
    path.write_text(text)
    config = load_config(path)
    return Gateway(config, LoggedProgress(), lambda: config), config


async def test_health_and_refusals_come_before_the_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway, config = new_gateway(tmp_path)
    addresses: dict[str, str] = {}
    reached = asyncio.Event()
    listen = gateway._doors.open

    async def listening() -> dict[str, str]:
        addresses.update(await listen())
        return addresses

    async def never(*_: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(gateway._doors, "open", listening)
    monkeypatch.setattr("trivet.app.gateway.gateway.start_components", never)
    starting = asyncio.create_task(gateway.start())
    await asyncio.wait_for(reached.wait(), 60)
    async with (
        grpc.aio.insecure_channel(addresses["listen"]) as clients,
        grpc.aio.insecure_channel(addresses["admin_listen"]) as operators,
    ):
        for channel in (clients, operators):
            health = health_pb2_grpc.HealthStub(channel)
            for service, expected in (("liveness", "SERVING"), ("", "NOT_SERVING")):
                answer = await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
                assert health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status) == expected
        ask: Any = inference_pb2_grpc.InferenceStub(clients)  # type: ignore[no-untyped-call,unused-ignore]
        operate: Any = admin_pb2_grpc.AdminStub(operators)  # type: ignore[no-untyped-call,unused-ignore]
        for call in (
            ask.Generate(inference_pb2.GenerateRequest(), timeout=5),
            operate.ListRoutes(admin_pb2.ListRoutesRequest(), timeout=5),
        ):
            with pytest.raises(grpc.aio.AioRpcError, match="the server is starting") as refused:
                await call
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert not (config.data_dir / "server.json").exists()  # it is not announced before it is ready
    starting.cancel()
    await asyncio.wait({starting})
    await asyncio.wait_for(gateway.stop(), 10)
    for address in addresses.values():
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address.split(":"))


async def test_metrics_are_served_while_an_engine_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prometheus sees a start that takes long, or hangs, as an engine that is not up."""
    gateway, _ = new_gateway(tmp_path)
    exposed, reached = list[str](), asyncio.Event()
    expose = components._expose

    def exposing(*arguments: Any) -> str:
        exposed.append(expose(*arguments))
        return exposed[0]

    async def never(*_: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(components, "_expose", exposing)
    monkeypatch.setattr(components, "_start_indexes", never)
    monkeypatch.setattr(Engines, "open_host", _no_host)
    monkeypatch.setattr(Engines, "start", never)
    starting = asyncio.create_task(gateway.start())
    await asyncio.wait_for(reached.wait(), 60)
    page = await asyncio.to_thread(scraped, exposed[0])
    assert re.search(r'^trivet_engine_up{backend="local"} 0', page, re.MULTILINE)
    assert 'trivet_build_info{version="' in page
    starting.cancel()
    await asyncio.wait({starting})
    await asyncio.wait_for(gateway.stop(), 10)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*exposed[0].split(":"))


async def _no_host(*_: Any) -> None:
    """This process is not one to be forked."""


def scraped(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return str(answer.read().decode())
