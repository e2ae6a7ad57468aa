"""The adapters' calls of the Admin service, over a real listener and an engine that only keeps ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from prometheus_client import CollectorRegistry

from tests.support.adapters.house import OTHER, REF, House
from tests.support.gateway.admin_stub import admin_stub
from tests.support.gateway.harness import failure, variant
from trivet.api.v1 import admin_pb2, admin_pb2_grpc
from trivet.metering.adapter_gauge import AdapterGauge
from trivet.types.request import KeyRole
from trivet.types.variant import Route

NAME = str(REF)


@pytest.fixture
async def house(tmp_path: Path, tiny_model: Path) -> AsyncIterator[House]:
    house = House(tmp_path, tiny_model)
    yield house
    await house.close()


@pytest.fixture
async def stub(house: House) -> AsyncIterator[admin_pb2_grpc.AdminStub]:
    """An operator of a server whose route `voices` wants the adapter `voice@1`."""
    route = Route("voices", {"warm": variant("warm", adapter=OTHER)}, {"warm": 1}, "voices")
    house.wanted[OTHER] = ["voices/warm"]
    await house.manager.reconcile()
    async with admin_stub(routes={"voices": route}, adapters=house.manager) as stub:
        yield stub


async def listed(stub: admin_pb2_grpc.AdminStub) -> dict[str, admin_pb2.Adapter]:
    answer = await stub.ListAdapters(admin_pb2.ListAdaptersRequest())
    return {adapter.name: adapter for adapter in answer.adapters}


async def test_who_wants_an_adapter_is_told(stub: admin_pb2_grpc.AdminStub) -> None:
    before = await listed(stub)
    assert before[NAME].state == admin_pb2.ADAPTER_STATE_REGISTERED
    assert (before[str(OTHER)].state, list(before[str(OTHER)].routes)) == (admin_pb2.ADAPTER_STATE_READY, ["voices"])
    assert not before[str(OTHER)].requested
    loaded = (await stub.LoadAdapter(admin_pb2.LoadAdapterRequest(name=NAME))).adapter
    assert (loaded.state, loaded.requested, list(loaded.routes)) == (admin_pb2.ADAPTER_STATE_READY, True, [])
    assert (await listed(stub))[NAME] == loaded
    gone = (await stub.UnloadAdapter(admin_pb2.UnloadAdapterRequest(name=NAME))).adapter
    assert (gone.state, gone.requested, gone.engine_name) == (admin_pb2.ADAPTER_STATE_REGISTERED, False, "")


async def test_the_log_says_who_loaded_and_unloaded(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "trivet.rpc.admin.changes")
    async with admin_stub(adapters=house.manager, keys={"ops": KeyRole.OPERATOR, "shop": KeyRole.CLIENT}) as stub:
        request, ops = admin_pb2.LoadAdapterRequest(name=NAME), (("authorization", "Bearer ops"),)
        await stub.LoadAdapter(request, metadata=ops)
        await stub.UnloadAdapter(admin_pb2.UnloadAdapterRequest(name=NAME), metadata=ops)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.LoadAdapter(request, metadata=(("authorization", "Bearer shop"),))
    assert [record.getMessage() for record in caplog.records] == [
        f"key ops of tenant ops loaded adapter {NAME}",
        f"key ops of tenant ops unloaded adapter {NAME}",
    ]


async def test_unload_of_what_a_route_wants_names_it(stub: admin_pb2_grpc.AdminStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.UnloadAdapter(admin_pb2.UnloadAdapterRequest(name=str(OTHER)))
    refused = failure(caught.value)
    assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "FAILED_PRECONDITION")
    assert refused.message == "adapter voice@1 is used by voices/warm"


async def test_a_bad_one_is_listed_with_what_is_wrong(house: House, stub: admin_pb2_grpc.AdminStub) -> None:
    (house.root / "tone" / "1" / "adapter_config.json").write_text("{}")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.LoadAdapter(admin_pb2.LoadAdapterRequest(name=NAME))
    assert failure(caught.value).code == "INVALID_ARGUMENT"
    adapter = (await listed(stub))[NAME]
    assert (adapter.state, adapter.requested) == (admin_pb2.ADAPTER_STATE_FAILED, False)
    assert "peft_type" in adapter.problem


async def test_a_call_that_runs_out_of_time_does_not_stop_the_load(
    house: House, stub: admin_pb2_grpc.AdminStub
) -> None:
    house.engine.gate.clear()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.LoadAdapter(admin_pb2.LoadAdapterRequest(name=NAME), timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    house.engine.gate.set()
    await house.until(lambda: house.status(REF).requested)
    assert (await listed(stub))[NAME].state == admin_pb2.ADAPTER_STATE_READY


async def test_metrics_tell_tier_and_state(house: House, stub: admin_pb2_grpc.AdminStub) -> None:
    registry = CollectorRegistry()
    registry.register(AdapterGauge(asyncio.get_running_loop(), house.manager.statuses))
    async with house.use(OTHER):
        families = await asyncio.to_thread(lambda: list(registry.collect()))
    samples = {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}
    assert samples == {
        ("trivet_adapter_resident", "voice@1", "leased"): 1,
        ("trivet_adapter_state", "voice@1", "ready"): 1,
    }
