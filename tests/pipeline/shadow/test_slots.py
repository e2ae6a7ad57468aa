"""Copies and the engine's adapter slots: a copy waits for none, and lets go of its own for whoever waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.pipeline.test_adapter_slots import NAMES, GatedBackend, Resident, Served, adapter_route, settled
from tests.support.gateway.harness import gateway, variant
from tests.support.shadow import DRAWN, SHADOWED
from trivet.types.request import GenerateCall, Message
from trivet.types.variant import Route, VersionRef


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A rollout from the base model to the adapter `blue`, and a route for each adapter; two slots."""
    backend, adapters = GatedBackend(), Resident()
    backend.gates[None].set()
    variants = {"old": variant("old"), "new": variant("new", adapter=VersionRef("blue", "1"))}
    rolled = Route("ask", variants, {"old": 1.0, "new": 0.0}, "ask", rollout=replace(SHADOWED, shadow_load=1.0))
    more = [rolled, *map(adapter_route, NAMES)]
    async with gateway(tmp_path, backend=backend, adapters=adapters, more_routes=more, max_running=8) as served:
        yield Served(served, backend, adapters)


class Nobody:
    async def delta(self, text: str, choice: int) -> None:
        """Reads nothing."""

    async def reasoning(self, text: str, choice: int) -> None:
        raise AssertionError("nothing is thought here")

    async def tool_calls(self, deltas: Any, choice: int) -> None:
        pass

    async def logprobs(self, tokens: Any, choice: int) -> None:
        pass

    def closed(self, receipt: object) -> None:
        """Keeps nothing."""


async def ask(served: Served) -> None:
    now = asyncio.get_running_loop().time()
    call = GenerateCall("r", "public", "ask", (Message("user", "hello"),), arrived=now, unit_id=DRAWN)
    await served.gateway.generation.generate(call, Nobody())
    await settled()


async def test_a_copy_stands_in_no_line(served: Served) -> None:
    held = [await served.ask("red"), await served.ask("green")]
    await ask(served)
    assert served.gateway.slots.waiting == 0
    assert served.gateway.metric("shadow_total", route="ask", outcome="busy") == 1
    served.backend.open("red", "green")
    await asyncio.gather(*(asked.task for asked in held))
    served.assert_idle()


async def test_a_copy_lets_go_of_its_slot_for_whoever_waits(served: Served) -> None:
    first = await served.ask("red")
    await ask(served)
    assert (served.gateway.shadow.running, served.gateway.slots.leased) == (1, 2)
    served.backend.open("green")
    second = await served.ask("green")
    await second.task
    served.backend.open("red")
    await first.task
    assert served.gateway.shadow.running == 0
    assert served.gateway.metric("shadow_total", route="ask", outcome="gave_way") == 1
    await settled()
    served.assert_idle()


async def test_an_adapter_that_gave_way_is_not_brought_back_for_a_copy(served: Served) -> None:
    served.adapters.delay = 30.0
    await ask(served)
    assert served.gateway.metric("shadow_total", route="ask", outcome="busy") == 1
    served.assert_idle()
