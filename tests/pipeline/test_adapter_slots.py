"""Slots in the path of a request: who waits, who does not, what the receipt says, and that nothing is left behind."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.engine.chat_families import make_family
from tests.support.gateway.harness import PROMPT, Gateway, gateway, variant
from trivet.adapters.lifecycle.lease import AdapterLease
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.errors import BackendUnavailable, DeadlineExceeded, Overloaded
from trivet.pipeline.prefix_ledger import PrefixCacheLedger
from trivet.pipeline.routes.readiness import Readiness
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.template.source import PromptSource, Turn
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer
from trivet.testing import ScriptedBackend
from trivet.types.answer import Answer
from trivet.types.generation import BackendRequest, Chunk
from trivet.types.receipt import Receipt
from trivet.types.request import GenerateCall, Message
from trivet.types.variant import Route, VersionRef

NAMES = ("red", "green", "blue", "grey")


def engine_name(name: str) -> str:
    return f"{name}@1#0123456789ab"


class Resident(AdapterManager):
    """Every adapter is there, after `delay` seconds."""

    def __init__(self) -> None:
        self.used = 0
        self.delay = 0.0

    def gave_way(self, ref: VersionRef) -> bool:
        return self.delay > 0

    @asynccontextmanager
    async def acquire(self, ref: VersionRef | None, chosen_by: str = "") -> AsyncIterator[AdapterLease | None]:
        self.used += 1
        try:
            await asyncio.sleep(self.delay)
            yield None if ref is None else AdapterLease(ref, engine_name(ref.name), "0123456789ab")
        finally:
            self.used -= 1


class GatedBackend(ScriptedBackend):
    """Keeps the last word of an answer back until the adapter's gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.resident = {engine_name(name) for name in NAMES}
        self.gates: defaultdict[str | None, asyncio.Event] = defaultdict(asyncio.Event)

    async def generate(self, request: BackendRequest) -> AsyncGenerator[Chunk, None]:
        async with aclosing(super().generate(request)) as chunks:
            async for chunk in chunks:
                if chunk.finish is not None:
                    await self.gates[request.adapter].wait()
                    if not self.ready:
                        raise BackendUnavailable("the scripted engine is down")
                yield chunk

    def open(self, *names: str) -> None:
        for name in names:
            self.gates[engine_name(name)].set()

    def asked(self) -> list[str | None]:
        """What has reached it, in order."""
        return [request.adapter and request.adapter.partition("@")[0] for request in self.requests]


@dataclass
class Ear:
    """Reads an answer."""

    text: list[str] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)

    async def delta(self, text: str, choice: int) -> None:
        self.text.append(text)

    async def reasoning(self, text: str, choice: int) -> None:
        raise AssertionError("nothing is thought here")

    async def tool_calls(self, deltas: Any, choice: int) -> None:
        pass

    async def logprobs(self, tokens: Any, choice: int) -> None:
        pass

    def closed(self, receipt: Receipt) -> None:
        self.receipts.append(receipt)


@dataclass
class Asked:
    """A request under way."""

    task: asyncio.Task[Answer]
    ear: Ear

    @property
    def receipt(self) -> Receipt:
        (receipt,) = self.ear.receipts
        return receipt


@dataclass
class Served:
    """The gateway with four routes of an adapter each."""

    gateway: Gateway
    backend: GatedBackend
    adapters: Resident

    async def ask(self, route: str, seconds: float | None = None) -> Asked:
        """Start a request and let it come as far as it comes; the base model's route is `plain`."""
        now, ear = asyncio.get_running_loop().time(), Ear()
        deadline = None if seconds is None else now + seconds
        call = GenerateCall("r", "public", route, (Message("user", "hello"),), arrived=now, deadline=deadline)
        asked = Asked(asyncio.create_task(self.gateway.generation.generate(call, ear)), ear)
        await settled()
        return asked

    def assert_idle(self) -> None:
        slots = self.gateway.slots
        assert (slots.leased, slots.waiting, self.adapters.used) == (0, 0, 0)
        assert (self.gateway.admission.in_flight, self.backend.in_flight) == (0, 0)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def adapter_route(name: str, index: str | None = None) -> Route:
    return Route(name, {name: variant(name, adapter=VersionRef(name, "1"), index=index)}, {name: 1}, name)


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    backend, adapters = GatedBackend(), Resident()
    backend.gates[None].set()
    more = [*map(adapter_route, NAMES), adapter_route("searched", "facts")]
    async with gateway(tmp_path, backend=backend, adapters=adapters, more_routes=more) as served:
        yield Served(served, backend, adapters)


async def test_a_third_adapter_waits_for_one_of_two_slots_and_its_receipt_says_how_long(served: Served) -> None:
    first, second = await served.ask("red"), await served.ask("green")
    third = await served.ask("blue")
    assert served.backend.asked() == ["red", "green"]
    assert served.gateway.slots.waiting == 1
    await asyncio.sleep(0.05)
    served.backend.open("red", "blue")
    await asyncio.gather(first.task, third.task)
    served.backend.open("green")
    await second.task
    assert served.backend.asked() == ["red", "green", "blue"]
    assert "".join(third.ear.text) == "one two three"
    waits = [asked.receipt.adapter_wait_ms for asked in (first, second, third)]
    assert all(wait is not None for wait in waits)
    waited, receipt = waits[2] or 0.0, third.receipt
    assert waited >= 50
    assert receipt.total_ms is not None
    assert receipt.gateway_ms is not None
    assert receipt.queue_ms is not None
    assert receipt.queue_ms + receipt.gateway_ms <= receipt.total_ms - waited + 0.01
    assert served.gateway.metric("adapter_wait_seconds_count", backend="scripted") == 3
    served.assert_idle()


async def test_the_base_model_never_waits_and_has_no_wait_in_its_receipt(served: Served) -> None:
    """Not for a slot, and not for a place either: two run, two wait for slots, and four places there are."""
    held = [await served.ask(name) for name in NAMES]
    assert served.backend.asked() == ["red", "green"]
    both = [await served.ask("plain"), await served.ask("plain")]
    await asyncio.gather(*(asked.task for asked in both))
    assert both[0].receipt.adapter_wait_ms is None
    assert served.gateway.slots.waiting == 2
    served.backend.open(*NAMES)
    await asyncio.gather(*(asked.task for asked in held))
    served.assert_idle()


async def test_a_cancelled_waiter_leaves_nothing_and_the_engine_untouched(served: Served) -> None:
    held = [await served.ask("red"), await served.ask("green")]
    waiting = await served.ask("blue")
    waiting.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting.task
    assert served.gateway.slots.waiting == 0
    assert waiting.receipt.code == "CANCELLED"
    assert waiting.receipt.adapter_wait_ms is not None
    assert waiting.receipt.output_tokens is None
    assert served.backend.asked() == ["red", "green"]
    served.backend.open("red", "green")
    await asyncio.gather(*(asked.task for asked in held))
    served.assert_idle()


async def test_a_deadline_holds_while_waiting(served: Served) -> None:
    held = [await served.ask("red"), await served.ask("green")]
    waiting = await served.ask("blue", seconds=0.05)
    with pytest.raises(DeadlineExceeded):
        await waiting.task
    assert waiting.receipt.code == "DEADLINE_EXCEEDED"
    assert served.backend.asked() == ["red", "green"]
    served.backend.open("red", "green")
    await asyncio.gather(*(asked.task for asked in held))
    served.assert_idle()


async def test_an_abandoned_stream_hands_its_slot_on(served: Served) -> None:
    first, second, third = await served.ask("red"), await served.ask("green"), await served.ask("blue")
    first.task.cancel()
    served.backend.open("blue", "green")
    await asyncio.gather(second.task, third.task)
    assert first.receipt.code == "CANCELLED"
    assert served.backend.asked() == ["red", "green", "blue"]
    served.assert_idle()


async def test_with_the_engine_dead_those_that_wait_learn_it_too(served: Served) -> None:
    asked = [await served.ask(name) for name in NAMES]
    served.backend.ready = False
    served.backend.open(*NAMES)
    outcomes = await asyncio.gather(*(one.task for one in asked), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [BackendUnavailable] * 4
    served.assert_idle()


async def test_bringing_an_adapter_back_is_waiting_for_it(served: Served) -> None:
    served.adapters.delay = 0.05
    asked = await served.ask("red")
    served.backend.open("red")
    await asked.task
    waited, gateway_ms, total = asked.receipt.adapter_wait_ms, asked.receipt.gateway_ms, asked.receipt.total_ms
    assert waited is not None
    assert gateway_ms is not None
    assert total is not None
    assert waited >= 50
    assert gateway_ms <= total - waited + 0.01


async def test_a_slow_search_holds_no_slot(served: Served) -> None:
    served.gateway.retriever.delay = 0.05
    searching = await served.ask("searched")
    assert served.adapters.used == 1
    assert served.gateway.slots.leased == 0
    searching.task.cancel()
    await settled()
    served.assert_idle()


async def test_past_the_places_those_that_wait_for_slots_fill_the_queue(served: Served) -> None:
    """Four places and a queue of four: more than eight requests are never held, wherever they wait."""
    asked = [await served.ask(name) for name in ("red", "green", *["blue"] * 5, *["grey"] * 5)]
    assert served.gateway.admission.in_flight == 8
    assert served.gateway.slots.waiting == 6
    refused = [one for one in asked if one.task.done()]
    assert len(refused) == 4
    assert {one.receipt.code for one in refused} == {"RESOURCE_EXHAUSTED"}
    served.backend.open(*NAMES)
    outcomes = await asyncio.gather(*(one.task for one in asked), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Answer] * 8 + [Overloaded] * 4
    served.assert_idle()


async def test_priming_takes_a_slot(tmp_path: Path) -> None:
    backend, slots, route = GatedBackend(), AdapterSlots(slots=1, quantum=1.0), adapter_route("red")
    source = PromptSource(PROMPT, tmp_path / "1.md", (Turn("system", ("Answer briefly. " * 20,)),))
    tokenizer = ChatTokenizer.load(make_family("chatml", tmp_path / "tokenizer").folder)
    prompts = {("scripted", PROMPT): PromptAssembler(source, tokenizer)}
    readiness = Readiness({"scripted": backend}, {"scripted": slots}, Resident(), prompts, PrefixCacheLedger())
    async with slots.enter(engine_name("green")):
        priming = asyncio.create_task(readiness.prime(route, route.variants["red"]))
        await settled()
        assert slots.waiting == 1
        assert backend.requests == []
    backend.open("red")
    await priming
    assert readiness.is_ready(route, route.variants["red"])
    assert (slots.leased, slots.waiting) == (0, 0)
