"""Activated LoRAs behind a gateway: the base's prefix is primed once for all of them, and the books count it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.engine.chat_families import Family, make_family
from tests.support.gateway.harness import PROMPT, QUANTUM, gateway, variant
from trivet.adapters.lifecycle.lease import AdapterLease
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.api.v1 import inference_pb2
from trivet.errors import FailedPrecondition
from trivet.metering.account import ChoiceAccount
from trivet.pipeline.prefix_ledger import ExpectedPrefix, PrefixCacheLedger
from trivet.pipeline.routes.readiness import Readiness
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.template.source import PromptSource, Turn
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer
from trivet.testing import ScriptedBackend
from trivet.training.chats import generation_prompt
from trivet.types.prompt import AssembledPrompt
from trivet.types.variant import Route, VersionRef

NAMES = ("red", "green", "own")


def engine_name(name: str) -> str:
    return f"{name}@1#0123456789ab"


class Resident(AdapterManager):
    """Every adapter is there; all but `own` act from these ids on."""

    def __init__(self, invocation: tuple[int, ...]) -> None:
        self.invocation = invocation

    def gave_way(self, ref: VersionRef) -> bool:
        return False

    @asynccontextmanager
    async def acquire(self, ref: VersionRef | None, chosen_by: str = "") -> AsyncIterator[AdapterLease | None]:
        if ref is None:
            yield None
            return
        invocation = () if ref.name == "own" else self.invocation
        yield AdapterLease(ref, engine_name(ref.name), "0123456789ab", invocation)


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return make_family("chatml", tmp_path / "family")


def adapter_route(name: str) -> Route:
    adapted = replace(variant(name), adapter=VersionRef(name, "1"))
    return Route(name, {name: adapted}, {name: 1.0}, name)


def backend_with_all() -> ScriptedBackend:
    backend = ScriptedBackend()
    backend.resident = {engine_name(name) for name in NAMES}
    return backend


def readiness_of(backend: ScriptedBackend, family: Family, invocation: tuple[int, ...], folder: Path) -> Readiness:
    source = PromptSource(PROMPT, folder / "1.md", (Turn("system", ("Answer briefly. " * 20,)),))
    prompts = {("scripted", PROMPT): PromptAssembler(source, ChatTokenizer.load(family.folder))}
    slots = {"scripted": AdapterSlots(slots=2, quantum=QUANTUM)}
    return Readiness({"scripted": backend}, slots, Resident(invocation), prompts, PrefixCacheLedger())


async def test_the_bases_prefix_is_primed_once_for_all_that_share_it(family: Family, tmp_path: Path) -> None:
    backend = backend_with_all()
    readiness = readiness_of(backend, family, tuple(generation_prompt(family.reference)), tmp_path)
    for name in NAMES:
        route = adapter_route(name)
        await readiness.prime(route, route.variants[name])
        assert readiness.is_ready(route, route.variants[name])
    assert [request.adapter for request in backend.requests] == [None, engine_name("own")]
    backend.incarnation += 1  # another engine, whose cache is empty
    route = adapter_route("green")
    assert not readiness.is_ready(route, route.variants["green"])
    await readiness.prime(route, route.variants["green"])
    assert [request.adapter for request in backend.requests[2:]] == [None]


async def test_a_route_whose_adapter_cannot_be_invoked_stays_cold(family: Family, tmp_path: Path) -> None:
    backend, route = backend_with_all(), adapter_route("red")
    readiness = readiness_of(backend, family, (3, 1, 4, 1, 5), tmp_path)
    with pytest.raises(FailedPrecondition, match=r"invocation \[3, 1, 4, 1, 5\] is not in what"):
        await readiness.prime(route, route.variants["red"])
    assert not readiness.is_ready(route, route.variants["red"])
    assert backend.requests == []


async def test_receipts_and_metrics_tell_what_was_shared(family: Family, tmp_path: Path) -> None:
    """The base computes the prefix; the first request of each activated adapter finds it, and the books expect it."""
    backend, folder = backend_with_all(), tmp_path / "gateway"
    folder.mkdir()
    adapters = Resident(tuple(generation_prompt(family.reference)))
    more = [adapter_route(name) for name in NAMES]
    receipts = {}
    async with gateway(folder, backend=backend, adapters=adapters, more_routes=more) as served:
        for route in ("plain", "red", "green"):
            message = inference_pb2.Message(role="user", content=f"hello from {route}")
            request = inference_pb2.GenerateRequest(route=route, messages=[message])
            receipts[route] = (await served.stub.Generate(request)).receipt
        told = {name: served.metric("adapter_shared_tokens_total", adapter=f"{name}@1") for name in ("red", "green")}
    for name in ("red", "green"):
        receipt, asked = receipts[name], next(one for one in backend.requests if one.adapter == engine_name(name))
        assert asked.activated_from is not None
        assert asked.token_ids[asked.activated_from :] == adapters.invocation
        assert receipt.cached_tokens == receipt.expected_cached_tokens == receipt.shared_tokens > 0
        assert receipt.shared_tokens % backend.block_size == 0
        assert told[name] == receipt.shared_tokens
    assert not receipts["plain"].HasField("shared_tokens")


async def test_a_plain_adapter_does_not_expect_the_bases_prefix(family: Family, tmp_path: Path) -> None:
    backend, folder = backend_with_all(), tmp_path / "gateway"
    folder.mkdir()
    adapters = Resident(tuple(generation_prompt(family.reference)))
    async with gateway(folder, backend=backend, adapters=adapters, more_routes=[adapter_route("own")]) as served:
        for route in ("plain", "own"):
            message = inference_pb2.Message(role="user", content="hello")
            answer = await served.stub.Generate(inference_pb2.GenerateRequest(route=route, messages=[message]))
    receipt = answer.receipt
    assert (receipt.adapter, receipt.cached_tokens, receipt.expected_cached_tokens) == ("own@1", 0, 0)
    assert not receipt.HasField("shared_tokens")


@pytest.mark.parametrize(("start", "expected", "after"), [(None, 96, 96), (200, 96, 96), (96, 96, 96), (95, 64, 0)])
def test_an_adapter_that_begins_within_the_prefix_shares_what_stands_before(
    start: int | None, expected: int, after: int
) -> None:
    """`after`: what the base expects when only such a request has gone through the prefix."""
    backend, ledger = ScriptedBackend(), PrefixCacheLedger()
    base = AssembledPrompt(tuple(range(200)), 100, "prefix")
    asked = replace(base, activated_from=start)
    ExpectedPrefix(ledger, backend, None, None, asked, ChoiceAccount()).computed()
    account = ChoiceAccount()
    ExpectedPrefix(ledger, backend, None, None, base, account)
    assert account.expected_cached_tokens == after
    ExpectedPrefix(ledger, backend, None, None, base, ChoiceAccount()).computed()
    ExpectedPrefix(ledger, backend, None, None, asked, account)
    assert account.expected_cached_tokens == expected
