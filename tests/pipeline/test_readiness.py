"""Readiness: a variant is primed before it gets traffic, and again after each start of the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.engine.chat_families import make_family
from tests.support.gateway.harness import PROMPT, QUANTUM, no_adapters, routes, variant
from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.errors import BackendUnavailable
from trivet.pipeline.prefix_ledger import PrefixCacheLedger
from trivet.pipeline.routes.readiness import COLD_REQUESTS, RETRY_DOWN, RETRY_WARMING, Readiness
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.template.source import PromptSource, Turn
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer
from trivet.stores.state import StateStore
from trivet.testing import ScriptedBackend
from trivet.types.generation import Chunk
from trivet.types.variant import VersionRef

PLAIN = routes()["plain"]
(VARIANT,) = PLAIN.variants.values()


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend()


Primed = list[tuple[str, Chunk]]


@pytest.fixture
def primed() -> Primed:
    return []


@pytest.fixture
def readiness(backend: ScriptedBackend, tmp_path: Path, primed: Primed) -> Readiness:
    def on_primed(name: str, chunk: Chunk) -> None:
        primed.append((name, chunk))

    source = PromptSource(PROMPT, tmp_path / "1.md", (Turn("system", ("Answer briefly. " * 20,)),))
    tokenizer = ChatTokenizer.load(make_family("chatml", tmp_path / "tokenizer").folder)
    prompts = {("scripted", PROMPT): PromptAssembler(source, tokenizer)}
    slots = {"scripted": AdapterSlots(slots=2, quantum=QUANTUM)}
    adapters = no_adapters(backend, tmp_path, StateStore.open(tmp_path / "state.sqlite"))
    return Readiness({"scripted": backend}, slots, adapters, prompts, PrefixCacheLedger(), on_primed)


async def test_a_variant_is_ready_from_its_priming_to_the_engines_death(
    backend: ScriptedBackend, readiness: Readiness
) -> None:
    with pytest.raises(BackendUnavailable, match="plain/plain is not warm yet") as refused:
        readiness.require(PLAIN, VARIANT)
    assert refused.value.retry_after == RETRY_WARMING
    await readiness.prime(PLAIN, VARIANT)
    readiness.require(PLAIN, VARIANT)
    assert len(backend.requests) == 1

    backend.ready = False
    with pytest.raises(BackendUnavailable, match="backend scripted is down") as refused:
        readiness.require(PLAIN, VARIANT)
    assert refused.value.retry_after == RETRY_DOWN

    backend.ready, backend.incarnation = True, 2
    assert not readiness.is_ready(PLAIN, VARIANT)
    await readiness.prime(PLAIN, VARIANT)
    assert readiness.is_ready(PLAIN, VARIANT)


async def test_a_priming_that_the_engine_does_not_survive_leaves_the_variant_cold(
    backend: ScriptedBackend, readiness: Readiness
) -> None:
    backend.ready = False
    with pytest.raises(BackendUnavailable):
        await readiness.prime(PLAIN, VARIANT)
    backend.ready = True
    assert not readiness.is_ready(PLAIN, VARIANT)


async def test_another_adapter_under_the_same_name_is_another_variant(readiness: Readiness) -> None:
    await readiness.prime(PLAIN, VARIANT)
    changed = variant("plain", adapter=VersionRef("tone", "2"))
    assert readiness.is_ready(PLAIN, VARIANT)
    assert not readiness.is_ready(PLAIN, changed)


async def test_the_first_requests_after_each_warm_up_are_cold(backend: ScriptedBackend, readiness: Readiness) -> None:
    await readiness.prime(PLAIN, VARIANT)
    assert [readiness.enter(PLAIN, VARIANT) for _ in range(COLD_REQUESTS + 2)] == [True] * COLD_REQUESTS + [False] * 2
    await readiness.prime(PLAIN, VARIANT)
    assert not readiness.enter(PLAIN, VARIANT), "it was warm all the time"
    backend.incarnation = 2
    with pytest.raises(BackendUnavailable):
        readiness.enter(PLAIN, VARIANT)
    await readiness.prime(PLAIN, VARIANT)
    assert readiness.enter(PLAIN, VARIANT), "the engine started anew"


async def test_what_priming_took_is_told(backend: ScriptedBackend, readiness: Readiness, primed: Primed) -> None:
    await readiness.prime(PLAIN, VARIANT)
    assert {name for name, _ in primed} == {"scripted"}
    (request,) = backend.requests
    assert sum(chunk.input_tokens or 0 for _, chunk in primed) == len(request.token_ids)
    assert sum(chunk.tokens for _, chunk in primed) > 0
