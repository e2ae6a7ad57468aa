"""When copies run: never where a real request would wait for one, never more than may, and none is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.gateway.harness import Gateway, gateway, request
from tests.support.shadow import CANDIDATE, DRAWN, SHADOWED, route_of, settled
from trivet.pipeline.admission import Admission
from trivet.testing import ScriptedBackend
from trivet.types.answer import Answer, Choice
from trivet.types.generation import BackendRequest, Chunk, FinishReason
from trivet.types.request import GenerateCall, Message

HALF = replace(SHADOWED, shadow_load=0.5)
WAITS = {"type": "object"}


class HangingBackend(ScriptedBackend):
    """Says nothing until it is aborted or let go."""

    def __init__(self) -> None:
        super().__init__(name=CANDIDATE)
        self.let_go = asyncio.Event()
        self.schemas: dict[str, bool] = {}

    async def generate(self, request: BackendRequest) -> AsyncGenerator[Chunk, None]:
        self.requests.append(request)
        self.in_flight += 1
        try:
            await self.let_go.wait()
        except BaseException:
            self.aborted += 1
            raise
        finally:
            self.in_flight -= 1
        async for chunk in super().generate(request):
            yield chunk

    def schema_known(self, schema: Mapping[str, Any], owner: str) -> bool:
        return self.schemas.get(owner, True)


@pytest.fixture
def hanging() -> HangingBackend:
    return HangingBackend()


@pytest.fixture
async def served(tmp_path: Path, hanging: HangingBackend) -> AsyncIterator[Gateway]:
    routes = [route_of("ask"), route_of("half", rollout=HALF), route_of("short", max_duration=0.4)]
    async with gateway(tmp_path, more_routes=routes, more_backends=[hanging]) as running:
        yield running


async def ask(served: Gateway, route: str = "ask", text: str = "hello", **fields: Any) -> str:
    response = await served.stub.Generate(request(route, text, unit_id=DRAWN, **fields))
    return str(response.text)


async def running(served: Gateway, count: int) -> None:
    async with asyncio.timeout(60):
        while served.shadow.running != count:
            await asyncio.sleep(0.005)


def dropped(served: Gateway, outcome: str, route: str = "ask") -> float:
    return served.metric("shadow_total", route=route, outcome=outcome)


async def test_a_candidate_that_hangs_holds_up_nobody_and_nothing_is_left(
    served: Gateway, hanging: HangingBackend
) -> None:
    loop = asyncio.get_running_loop()
    longest = 0.0
    for number in range(50):
        started = loop.time()
        assert await ask(served, text=f"question {number}") == "one two three"
        longest = max(longest, loop.time() - started)
        assert served.shadow.running <= SHADOWED.shadow_running
    assert longest < 5, "not as long as the copies hang, which is for ever"
    assert (served.shadow.running, hanging.in_flight) == (2, 2)
    assert dropped(served, "full") == 48
    assert served.metric("requests_total", route="ask", variant="old", code="OK") == 50
    before = {task for task in asyncio.all_tasks() if task.get_name() == "shadow"}
    assert len(before) == 2
    await served.shadow.close()
    assert (served.shadow.running, hanging.in_flight, hanging.aborted) == (0, 0, 2)
    assert not any(task.get_name() == "shadow" for task in asyncio.all_tasks())
    assert served.admission.in_flight == 0


async def test_a_copy_has_as_long_as_its_original_and_counts_for_nothing_then(
    served: Gateway, hanging: HangingBackend
) -> None:
    await ask(served, "short")
    await running(served, 1)
    await settled(served)
    (copy,) = [receipt for receipt in served.counted if receipt.shadow]
    assert (copy.code, copy.shadow_pair, hanging.aborted) == ("DEADLINE_EXCEEDED", None, 1)
    assert dropped(served, "timed_out", "short") == 1


async def test_copies_give_way_when_the_load_grows(tmp_path: Path, hanging: HangingBackend) -> None:
    slow = ScriptedBackend(["w "] * 1000, interval=0.02)
    routes = [route_of("half", rollout=HALF)]
    async with gateway(tmp_path, backend=slow, more_routes=routes, more_backends=[hanging]) as served:
        await ask(served, "half", max_tokens=1)
        await ask(served, "half", max_tokens=1)
        await running(served, 2)  # of 4 places half
        others = [asyncio.create_task(ask(served, "plain", "one"))]
        await running(served, 1)
        assert dropped(served, "gave_way", "half") == 1
        others.append(asyncio.create_task(ask(served, "plain", "two")))
        await running(served, 0)
        async with asyncio.timeout(60):
            while hanging.aborted < 2:
                await asyncio.sleep(0.005)
        await ask(served, "half", max_tokens=1)
        assert dropped(served, "busy", "half") == 1
        assert served.shadow.running == 0
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def test_copies_give_way_at_once_to_whoever_waits(tmp_path: Path, hanging: HangingBackend) -> None:
    slow = ScriptedBackend(["w "] * 1000, interval=0.02)
    routes = [route_of("ask", rollout=replace(SHADOWED, shadow_load=1.0))]
    async with gateway(
        tmp_path, backend=slow, more_routes=routes, more_backends=[hanging], max_running=2, max_queued=4
    ) as served:
        await ask(served, max_tokens=1)
        await running(served, 1)
        others = [asyncio.create_task(ask(served, "plain", f"{number}")) for number in range(3)]
        await running(served, 0)
        async with asyncio.timeout(60):
            while served.admission.in_flight < 3 or hanging.aborted < 1:
                await asyncio.sleep(0.005)
        assert not served.admission.spare
        assert dropped(served, "gave_way") == 1
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    assert hanging.in_flight == 0


async def test_a_stop_waits_for_no_copy(served: Gateway, hanging: HangingBackend) -> None:
    await ask(served)
    await running(served, 1)
    async with asyncio.timeout(60):
        await served.admission.drain()
        await served.shadow.close()
    assert (hanging.in_flight, hanging.aborted) == (0, 1)
    (copy,) = [receipt for receipt in served.counted if receipt.shadow]
    assert (copy.code, copy.shadow_pair) == ("CANCELLED", None)
    with pytest.raises(grpc.aio.AioRpcError):
        await ask(served)
    assert served.shadow.running == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "canary", "step": 0, "shadow_share": 0.0},
        {"state": "rolled_back", "shadow_share": 0.0},
        {"id": "r2"},
        {"local": True},
    ],
)
async def test_copies_end_with_the_state(served: Gateway, hanging: HangingBackend, changed: dict[str, Any]) -> None:
    await ask(served)
    await running(served, 1)
    served.shadow.review()
    assert served.shadow.running == 1, "nothing has changed yet"
    routes = served.table.routes
    served.table.replace({**routes, "ask": route_of("ask", rollout=replace(SHADOWED, **changed))})
    served.shadow.review()
    assert served.shadow.running == 0
    async with asyncio.timeout(60):
        while hanging.in_flight:
            await asyncio.sleep(0.005)
    assert dropped(served, "state_ended") == 1
    served.table.replace({name: route for name, route in routes.items() if name != "ask"})
    served.shadow.review()


async def test_a_copy_that_never_began_is_counted_and_leaves_nothing(served: Gateway, hanging: HangingBackend) -> None:
    hanging.let_go.set()
    await ask(served)
    real = served.counted[0]
    await settled(served)
    calls = len(hanging.requests)
    answered = next(receipt for receipt in served.counted if not receipt.shadow)
    assert answered is real
    served.shadow.offer(_call(), Answer((Choice("one two three", FinishReason.STOP),), (), real))
    assert served.shadow.running == 1
    await served.shadow.close()  # before it had a turn
    assert (len(hanging.requests), served.shadow.running) == (calls, 0)
    assert dropped(served, "state_ended") == 1


async def test_what_goes_wrong_with_a_copy_is_not_its_originals(
    served: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    served.table.replace({**served.table.routes, "ask": route_of("ask", rollout=replace(SHADOWED, shadow_share=7.0))})
    assert await ask(served) == "one two three"
    assert "a request of route ask could not be copied" in caplog.text
    assert served.shadow.running == 0


async def test_a_schema_of_a_client_is_not_tried_for_a_copy(served: Gateway, hanging: HangingBackend) -> None:
    hanging.let_go.set()
    hanging.schemas["public"] = False
    await ask(served, json_schema=WAITS)
    await settled(served)
    assert dropped(served, "busy") == 1
    assert hanging.requests == []


async def test_admission_tells_of_every_demand() -> None:
    admission, told = Admission(max_running=1, max_queued=2, max_queued_tokens=100), []
    admission.on_demand(lambda: told.append((admission.running, admission.spare)))
    async with admission.enter(tokens=1):
        assert told == [(1, True)]
        waiting = asyncio.create_task(_enter(admission))
        await asyncio.sleep(0)
        assert told[-1] == (1, False)
    await waiting
    assert admission.spare
    await admission.drain()
    assert told[-1] == (0, False)


async def _enter(admission: Admission) -> None:
    async with admission.enter(tokens=1):
        await asyncio.sleep(0)


def _call() -> GenerateCall:
    return GenerateCall(
        "r", "public", "ask", (Message("user", "hello"),), asyncio.get_running_loop().time(), unit_id=DRAWN
    )
