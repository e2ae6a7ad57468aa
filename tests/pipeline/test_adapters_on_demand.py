"""A request's own adapter, through both doors: who may choose which, what the receipt says, and what falls back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from tests.support.engine.tiny_model import adapter_files
from tests.support.gateway.harness import Failure, Gateway, failure, gateway, request, variant
from tests.support.shadow import DRAWN, SHADOWED, settled
from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.lifecycle.settings import LifecycleSettings
from trivet.adapters.on_demand.adapters import OnDemandAdapters
from trivet.adapters.on_demand.settings import OnDemandSettings
from trivet.adapters.pins import AdapterPins
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.api.v1 import inference_pb2
from trivet.stores.state import StateStore
from trivet.testing import ScriptedBackend
from trivet.testing.adapters import write_adapter
from trivet.types.request import KeyRole
from trivet.types.rollout import RouteRollout
from trivet.types.text.adapter_pattern import AdapterPattern
from trivet.types.variant import AdapterBy, AdapterChoice, AdapterFallback, Route

KEYS = [("key-a", "acme", KeyRole.CLIENT), ("key-g", "globex", KeyRole.CLIENT), ("key-n", "novice", KeyRole.CLIENT)]


def choosing(name: str, by: str, source: list[str], fallback: str, label: str = "") -> Route:
    choice = AdapterChoice(AdapterBy(by), tuple(map(AdapterPattern.parse, source)), AdapterFallback(fallback), label)
    return Route(name, {"own": variant("own", adapter_choice=choice)}, {"own": 1}, name)


ROUTES = [
    choosing("named", "request", ["{tenant}@*", "common-tone@*"], "refuse"),
    choosing("maybe", "request", ["{tenant}@*"], "base"),
    choosing("own", "tenant", ["{tenant}@2", "{tenant}@1"], "base"),
    choosing("strict", "tenant", ["{tenant}@1"], "refuse"),
    choosing("styled", "label", ["{tenant}@{label}"], "refuse", "style"),
]


def moved(name: str, rollout: RouteRollout, by: str, stable: str, candidate: str, label: str = "") -> Route:
    """A route under a rollout, whose variants choose by different patterns."""
    both = {
        "old": choosing(name, by, [stable], "refuse", label),
        "new": choosing(name, by, [candidate], "refuse", label),
    }
    variants = {arm: replace(route.variants["own"], name=arm) for arm, route in both.items()}
    return Route(name, variants, {"old": 1.0, "new": 0.0}, name, rollout=rollout)


HALF = RouteRollout("r2", "canary", 0, "old", "new", 0.5, 0.0, "salt")
ROUTES += [
    moved("copied", SHADOWED, "tenant", "{tenant}@1", "{tenant}@rude"),
    moved("copied-named", SHADOWED, "request", "{tenant}@*", "{tenant}@*"),
    moved("rolled", HALF, "label", "{tenant}@{label}", "common-{label}@1", "style"),
]


@asynccontextmanager
async def serving(tmp_path: Path, model: Path, **settings: float) -> AsyncIterator[Gateway]:
    """acme has versions 1 and rude, globex has 1 and a bad 2; novice has nothing; common-tone@1 is everybody's."""
    root = tmp_path / "adapters-root"
    for seed, (name, version) in enumerate(
        [("acme", "1"), ("acme", "rude"), ("globex", "1"), ("globex", "2"), ("common-tone", "1")]
    ):
        write_adapter(root / name / version, adapter_files(seed))
    (root / "globex" / "2" / "adapter_model.safetensors").write_bytes(b"bad")
    backend, demand = ScriptedBackend(), AdapterDemand()
    staging = AdapterStaging(AdapterSettings((root,), tmp_path / "staging", model, 16))
    pins = await AdapterPins.open(tmp_path / "pins.sqlite")
    store = StateStore.open(tmp_path / "adapters.sqlite")
    manager = AdapterManager(
        staging, backend, demand, store.desired_adapters, LifecycleSettings(host_places=2), pins=pins
    )
    on_demand = OnDemandAdapters(manager, staging, demand, pins, OnDemandSettings(host_places=2))
    folder = tmp_path / "gateway"
    folder.mkdir()
    try:
        async with gateway(
            folder, keys=KEYS, more_routes=ROUTES, backend=backend, adapters=manager, on_demand=on_demand, http=True
        ) as running:
            yield running
    finally:
        await on_demand.close()
        await manager.close()
        pins.close()
        store.close()


async def ask(served: Gateway, key: str, route: str, **fields: Any) -> inference_pb2.GenerateResponse:
    metadata = [("authorization", f"Bearer {key}")]
    return await served.stub.Generate(request(route, **fields), metadata=metadata)


async def refusal(served: Gateway, key: str, route: str, **fields: Any) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ask(served, key, route, **fields)
    return failure(raised.value)


async def test_each_request_has_an_adapter_of_its_own_or_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    async with serving(tmp_path, tiny_model) as served:
        receipt = (await ask(served, "key-a", "named", adapter="acme@rude")).receipt
        assert (receipt.adapter, receipt.cold) == ("acme@rude", True)
        assert receipt.adapter_wait_ms > 0
        assert served.backend.requests[-1].adapter == f"acme@rude#{receipt.adapter_digest[:12]}"
        again = (await ask(served, "key-a", "named", adapter="acme@rude")).receipt
        assert (again.adapter_digest, again.cold, again.adapter_wait_ms) == (receipt.adapter_digest, False, 0)
        shared = [(await ask(served, key, "named", adapter="common-tone@1")).receipt for key in ("key-a", "key-g")]
        assert {one.adapter for one in shared} == {"common-tone@1"}

        before = len(served.backend.requests)
        for named in ("globex@1", "globex@9", "novice@1"):  # there, not there, not there
            found = await refusal(served, "key-a", "named", adapter=named)
            assert (found.code, found.reason) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
            assert found.message == f"adapter {named} is not one that this caller may use on this route"
        for named in ("../acme@1", "Acme@1", "acme@..", "acme"):
            found = await refusal(served, "key-a", "named", adapter=named)
            assert found.code == "INVALID_ARGUMENT"
            assert list(found.fields) == ["adapter"]
        assert (await refusal(served, "key-a", "named", adapter="acme@9")).code == "NOT_FOUND"
        assert list((await refusal(served, "key-a", "named")).fields) == ["adapter"]
        assert list((await refusal(served, "key-a", "plain", adapter="acme@1")).fields) == ["adapter"]
        assert list((await refusal(served, "key-a", "own", adapter="acme@1")).fields) == ["adapter"]
        assert len(served.backend.requests) == before


async def test_by_tenant_and_by_label(tmp_path: Path, tiny_model: Path) -> None:
    async with serving(tmp_path, tiny_model) as served:
        assert (await ask(served, "key-a", "own")).receipt.adapter == "acme@1"
        novice = (await ask(served, "key-n", "own")).receipt
        assert (novice.adapter, novice.adapter_digest, list(novice.degraded)) == ("", "", ["adapter_missing"])
        assert served.backend.requests[-1].adapter is None
        bad = (await ask(served, "key-g", "own")).receipt
        assert (bad.adapter, list(bad.degraded)) == ("", ["adapter_rejected"])
        assert (await refusal(served, "key-n", "strict")).code == "NOT_FOUND"
        assert (await ask(served, "key-g", "strict")).receipt.adapter == "globex@1"
        assert (await ask(served, "key-a", "styled", labels={"style": "rude"})).receipt.adapter == "acme@rude"
        assert (await refusal(served, "key-g", "styled", labels={"style": "rude"})).code == "NOT_FOUND"
        assert list((await refusal(served, "key-a", "styled")).fields) == ["labels.style"]
        found = await refusal(served, "key-g", "styled", labels={"style": "2"})
        assert (found.code, found.reason) == ("FAILED_PRECONDITION", "FAILED_PRECONDITION")
        assert "globex@2" in found.message
        base = (await ask(served, "key-a", "maybe")).receipt
        assert (base.adapter, list(base.degraded)) == ("", [])


async def test_over_http_the_model_names_route_and_adapter_and_lists_the_callers_own(
    tmp_path: Path, tiny_model: Path
) -> None:
    async with serving(tmp_path, tiny_model) as served, httpx.AsyncClient(base_url=f"http://{served.http}") as client:

        async def models(key: str) -> set[str]:
            found = await client.get("/v1/models", headers={"authorization": f"Bearer {key}"})
            return {one["id"] for one in found.json()["data"] if ":" in one["id"]}

        assert await models("key-a") == {
            "named:acme@1", "named:acme@rude", "named:common-tone@1", "maybe:acme@1", "maybe:acme@rude",
            "copied-named:acme@1", "copied-named:acme@rude",
        }  # fmt: skip
        assert await models("key-n") == {"named:common-tone@1"}
        body = {"model": "named:acme@rude", "messages": [{"role": "user", "content": "hi"}]}
        headers = {"authorization": "Bearer key-a"}
        answer = await client.post("/v1/chat/completions", headers=headers, json=body)
        assert answer.status_code == 200
        assert answer.json()["model"] == "named:acme@rude"
        assert served.counted[-1].adapter == "acme@rude"
        for model, status in (("named:globex@1", 403), ("named:acme@9", 404), ("named:../x@1", 400), ("named", 400)):
            refused = await client.post("/v1/chat/completions", headers=headers, json={**body, "model": model})
            assert (model, refused.status_code) == (model, status)
        assert refused.json()["error"]["param"] == "model"
        shown = await client.get("/v1/models/named:acme@rude", headers=headers)
        assert shown.status_code == 200
        assert (await client.get("/v1/models/named:globex@1", headers=headers)).status_code == 404


async def test_a_cold_start_holds_no_place_of_those_that_run(tmp_path: Path, tiny_model: Path) -> None:
    async with serving(tmp_path, tiny_model) as served:
        results = await asyncio.gather(
            *(ask(served, key, "strict") for key in ("key-a", "key-g") * 2),
            *(ask(served, "key-a", "named", adapter=name) for name in ("acme@1", "acme@rude", "common-tone@1")),
            return_exceptions=True,
        )
        assert [type(result).__name__ for result in results] == ["GenerateResponse"] * 7
        assert (served.admission.in_flight, served.slots.leased) == (0, 0)


def copies(served: Gateway) -> list[tuple[str, str, str]]:
    return [(one.variant, one.adapter, one.code) for one in served.counted if one.shadow]


async def test_a_copy_has_the_adapter_that_its_variant_chooses_and_waits_for_none(
    tmp_path: Path, tiny_model: Path
) -> None:
    async with serving(tmp_path, tiny_model) as served:

        async def asked(route: str, **fields: Any) -> str:
            answer = await ask(served, "key-a", route, unit_id=DRAWN, **fields)
            await settled(served)
            return answer.receipt.adapter

        assert await asked("copied") == "acme@1"
        assert copies(served) == [("new", "", "RESOURCE_EXHAUSTED")], "its adapter is not there, and nothing waits"
        assert served.metric("shadow_total", route="copied", outcome="busy") == 1
        await ask(served, "key-a", "named", adapter="acme@rude")
        assert await asked("copied") == "acme@1"
        assert copies(served)[1:] == [("new", "acme@rude", "OK")]
        assert await asked("copied-named", adapter="acme@rude") == "acme@rude"
        assert copies(served)[2:] == [("new", "acme@rude", "OK")]
        (compared,) = (one.shadow_pair for one in served.counted[-1:])
        assert compared is not None
        assert compared.equal


async def test_each_arm_of_a_rollout_chooses_by_its_own_patterns(tmp_path: Path, tiny_model: Path) -> None:
    expected = {"old": {"rude": "acme@rude"}, "new": {"tone": "common-tone@1"}}
    async with serving(tmp_path, tiny_model) as served:
        seen: set[str] = set()
        for number in range(24):
            arm = served.table.resolve("rolled", f"unit-{number}", request_id="r").variant.name
            for style in ("rude", "tone"):
                asking = ask(served, "key-a", "rolled", unit_id=f"unit-{number}", labels={"style": style})
                if style in expected[arm]:
                    receipt = (await asking).receipt
                    assert (receipt.variant, receipt.adapter, receipt.rollout) == (arm, expected[arm][style], "r2")
                    assert receipt.cold is (arm not in seen), "what waited for its adapter is not compared"
                    seen.add(arm)
                else:
                    with pytest.raises(grpc.aio.AioRpcError) as raised:
                        await asking
                    assert failure(raised.value).code == "NOT_FOUND"
        assert seen == {"old", "new"}
