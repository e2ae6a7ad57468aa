"""A fleet over scripted engines behind real services: who is asked, and what a lost node costs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.blackhole_proxy import blackhole_proxy
from tests.support.engine.served_node import KnownCopies, ServedNode, remote_settings, serve_node
from trivet.errors import AdapterRejected, BackendUnavailable, Overloaded
from trivet.fleet.discovery import FixedList
from trivet.fleet.fleet import Fleet, FleetEvents, FleetSettings
from trivet.testing.backend import ScriptedBackend
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import BackendRequest, Chunk, MachineAccount, Replica, RequestedCall
from trivet.types.request import RequiredCalls
from trivet.types.variant import Sampling, VersionRef

PREFIX = tuple(range(64))


def request(number: int = 0, adapter: StagedAdapter | None = None, **changes: Any) -> BackendRequest:
    wanted = BackendRequest(
        f"request-{number}",
        (*PREFIX, 100 + number),
        Sampling(max_tokens=50),
        adapter=None if adapter is None else adapter.engine_name,
        unsalted_tokens=len(PREFIX),
    )
    return replace(wanted, **changes)


def priming(adapter: StagedAdapter | None = None) -> BackendRequest:
    wanted = request(0, adapter, account=MachineAccount.WARMUP, unsalted_tokens=0)
    return replace(wanted, token_ids=PREFIX, sampling=Sampling(max_tokens=1))


def adapter(name: str) -> StagedAdapter:
    return StagedAdapter(VersionRef(name, "1"), name.encode().hex().ljust(64, "0"), 8, Path("/nowhere"))


RED, GREEN, BLUE = adapter("red"), adapter("green"), adapter("blue")


async def answer(fleet: Fleet, wanted: BackendRequest) -> list[Chunk]:
    async with aclosing(fleet.generate(wanted)) as chunks:
        return [chunk async for chunk in chunks]


async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


class World:
    """Nodes by number, each with its backend."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = AsyncExitStack()
        self.backends: list[ScriptedBackend] = []
        self.nodes: list[ServedNode] = []
        self.ends: list[AsyncExitStack] = []
        self.copies = KnownCopies()
        self.copies.add([RED, GREEN, BLUE])

    async def add(self, backend: ScriptedBackend | None = None, **settings: Any) -> ServedNode:
        number = len(self.nodes)
        backend = backend or ScriptedBackend()
        end = await self.stack.enter_async_context(AsyncExitStack())
        settings = dict[str, Any](copies=self.copies, instance=f"instance-{number}") | settings
        node = await end.enter_async_context(serve_node(backend, self.folder / str(number), **settings))
        self.backends.append(backend)
        self.nodes.append(node)
        self.ends.append(end)
        return node

    @asynccontextmanager
    async def fleet(self, **changes: Any) -> AsyncIterator[Fleet]:
        events = changes.pop("events", None)
        addresses = changes.pop("addresses", [node.address for node in self.nodes])
        settings = FleetSettings(remote_settings(**changes), slow_start=0.0)
        fleet = Fleet(settings, FixedList(addresses), events)
        try:
            async with asyncio.timeout(60):
                await fleet.start()
            yield fleet
        finally:
            await fleet.close()

    def asked(self) -> list[int]:
        """Real requests by node."""
        return [sum(one.request_id.startswith("request") for one in b.requests) for b in self.backends]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.stack.aclose()


async def all_eligible(fleet: Fleet) -> None:
    await until(lambda: all(one.eligible for one in fleet.endpoints.values()))


async def test_one_prefix_stays_on_its_node_until_the_bound(world: World) -> None:
    for _ in range(3):
        await world.add(ScriptedBackend(["x "] * 50, interval=0.02))
    async with world.fleet() as fleet:
        await all_eligible(fleet)
        await answer(fleet, request(0, sampling=Sampling(max_tokens=1)))
        await answer(fleet, request(1, sampling=Sampling(max_tokens=1)))
        assert sorted(world.asked()) == [0, 0, 2]
        await asyncio.gather(*(answer(fleet, request(number)) for number in range(2, 32)))
        asked = world.asked()
        assert sum(asked) == 32
        assert max(asked) <= 16, "1.25 times the share of 30, and the two before"


async def test_a_node_is_asked_when_it_has_adapter_and_prefix(world: World) -> None:
    for _ in range(2):
        await world.add()
    primed: list[Chunk] = []
    async with world.fleet(events=FleetEvents(primed=primed.append)) as fleet:
        await all_eligible(fleet)
        await fleet.load_adapter(RED)
        await until(lambda: all(RED.engine_name in backend.resident for backend in world.backends))
        placed: list[Replica] = []
        first = await answer(fleet, replace(priming(RED), on_placed=placed.append))
        assert len(first) == len(placed) == 2, "on both nodes"
        late = await world.add()
        await fleet.membership.list(frozenset([*fleet.endpoints, late.address]))
        await until(lambda: fleet.endpoints[late.address].eligible)
        assert len(placed) == 3
        assert primed
        order = [one.adapter for one in world.backends[2].requests]
        assert order == [RED.engine_name], "primed before it was asked anything"
        expected = [await answer(fleet, request(number, RED)) for number in range(20)]
        assert all(chunks[0].cached_tokens == 64 for chunks in expected)


async def test_a_node_is_called_by_its_name_or_by_its_address_where_names_are_alike(world: World) -> None:
    told: list[Replica] = []
    await world.add(name="eins")
    async with world.fleet() as fleet:
        await all_eligible(fleet)
        await answer(fleet, request(0, on_placed=told.append))
        other = await world.add(name="eins")
        await fleet.membership.list(frozenset([*fleet.endpoints, other.address]))
        await all_eligible(fleet)
        await answer(fleet, request(1, on_placed=told.append))
    assert told[0] == Replica(f"{world.nodes[0].address}/1", "eins")
    assert told[1].node in {node.address for node in world.nodes}


async def test_a_node_that_dies_before_the_first_token_costs_nothing(world: World) -> None:
    """One retry, on another node; the first attempt is cancelled; never after the first token."""
    retried: list[int] = []
    for _ in range(2):
        await world.add(ScriptedBackend(["x "] * 20, interval=0.3))
    async with world.fleet(events=FleetEvents(retried=lambda: retried.append(1))) as fleet:
        await all_eligible(fleet)
        running = asyncio.create_task(answer(fleet, request(1, sampling=Sampling(max_tokens=3))))
        await until(lambda: sum(backend.in_flight for backend in world.backends) == 1)
        first = next(n for n, backend in enumerate(world.backends) if backend.in_flight)
        await world.nodes[first].listener.stop(0)
        assert len(await running) == 3
        assert retried == [1]
        assert world.asked() == [1, 1]
        assert world.backends[first].aborted == 1
        backend = world.backends[1 - first]
        running = asyncio.create_task(answer(fleet, request(2)))
        await until(lambda: backend.in_flight == 1)
        await asyncio.sleep(0.5)  # tokens have come
        await world.nodes[1 - first].listener.stop(0)
        with pytest.raises(BackendUnavailable):
            await running
        assert retried == [1]
        await until(lambda: not fleet.ready)
        assert "can be asked" in await fleet.death()


async def test_a_full_node_sends_on(world: World) -> None:
    """Above its bound a node refuses at once, and the request goes to another; where all are full, it is told."""
    for _ in range(2):
        await world.add(ScriptedBackend(["x "] * 50, interval=0.05), max_requests=2)
    async with world.fleet() as fleet:
        await all_eligible(fleet)
        running = [asyncio.create_task(answer(fleet, request(number))) for number in range(4)]
        await until(lambda: [backend.in_flight for backend in world.backends] == [2, 2])
        with pytest.raises(Overloaded) as refused:
            await answer(fleet, request(9))
        assert refused.value.retry_after > 0
        assert refused.value.limit == 2
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await until(lambda: not any(backend.in_flight for backend in world.backends))
        assert await answer(fleet, request(10, sampling=Sampling(max_tokens=1)))


async def test_a_slow_node_keeps_no_adapter_from_the_others(world: World) -> None:
    """An adapter is there when one node has it; the other loads on."""
    await world.add()
    slow = KnownCopies(dict(world.copies.known))
    release = threading.Event()
    restore = slow.restore

    def slowly(ref: VersionRef, digest: str) -> StagedAdapter:
        release.wait(20)
        return restore(ref, digest)

    slow.restore = slowly  # type: ignore[method-assign]
    await world.add(copies=slow)
    async with world.fleet() as fleet:
        await all_eligible(fleet)
        await fleet.load_adapter(RED)
        assert RED.engine_name not in world.backends[1].resident
        assert await answer(fleet, request(0, RED))
        release.set()
        await until(lambda: RED.engine_name in world.backends[1].resident)


async def test_a_draining_node_gets_nothing_new(world: World) -> None:
    for _ in range(2):
        await world.add()
    async with world.fleet() as fleet:
        await all_eligible(fleet)
        address = world.nodes[0].address
        await fleet.endpoints[address].engine.drain(True)
        await until(lambda: fleet.endpoints[address].state == "draining")
        before = world.asked()[0]
        for number in range(10):
            await answer(fleet, request(number, token_ids=(number, 1, 2), unsalted_tokens=0))
        assert world.asked()[0] == before
        await fleet.endpoints[address].engine.drain(False)
        await all_eligible(fleet)


async def test_a_node_leaves_when_it_is_neither_found_nor_there(world: World) -> None:
    """A list may be wrong: a node that it lacks is asked for as long as it answers."""
    for _ in range(2):
        await world.add()
    first, second = (node.address for node in world.nodes)
    async with world.fleet() as fleet:
        await all_eligible(fleet)
        await fleet.membership.list(frozenset([second]))
        assert fleet.endpoints[first].eligible
        await world.nodes[0].listener.stop(0)
        await until(lambda: first not in fleet.endpoints)
        await world.nodes[1].listener.stop(0)
        await until(lambda: fleet.endpoints[second].state == "away")
        assert list(fleet.endpoints) == [second], "it is found, and tried again"
        await fleet.membership.list(frozenset())
        assert not fleet.endpoints


async def test_a_node_with_another_model_is_never_asked(world: World) -> None:
    await world.add()
    await world.add(tokenizer_digest="another")
    await world.add(model_digest="another")
    async with world.fleet(expected_model="model") as fleet:
        await until(lambda: all("expected" in fleet.endpoints[n.address].engine.problem for n in world.nodes[1:]))
        for number in range(6):
            await answer(fleet, request(number, token_ids=(number, 1), unsalted_tokens=0))
        assert world.asked()[1:] == [0, 0]


async def test_activated_loras_are_at_home_where_the_bases_prefix_is(world: World) -> None:
    """It is primed once on each node, without an adapter, and requests of all that share it go to one node."""
    for _ in range(3):
        await world.add()
    async with world.fleet() as fleet:
        await all_eligible(fleet)
        for one in (RED, GREEN):
            await fleet.load_adapter(one)
        names = {RED.engine_name, GREEN.engine_name}
        await until(lambda: all(names <= backend.resident for backend in world.backends))
        await answer(fleet, replace(priming(), request_id="prime"))
        for number in range(8):
            asked = request(number, (None, RED, GREEN)[number % 3])
            if asked.adapter is not None:
                asked = replace(asked, activated_from=len(PREFIX))
            assert (await answer(fleet, asked))[0].cached_tokens == len(PREFIX)
        assert sorted(world.asked()) == [0, 0, 8]
        late = world.backends[world.asked().index(8)]
        late.incarnation, late.resident = 2, set()  # a new life: neither adapter nor prefix
        late._seen.clear()
        world.nodes[world.backends.index(late)].servicer.changed()
        for number in range(8, 16):
            asked = request(number, (RED, GREEN)[number % 2], activated_from=len(PREFIX))
            assert (await answer(fleet, asked))[0].cached_tokens == len(PREFIX)


async def test_a_node_that_lost_its_adapter_is_given_it_again(world: World) -> None:
    """Its engine starts anew: no request fails, and none is answered by the base model."""
    for _ in range(2):
        await world.add()
    async with world.fleet() as fleet:
        await all_eligible(fleet)
        await fleet.load_adapter(RED)
        await answer(fleet, priming(RED))
        backend = world.backends[0]
        backend.incarnation, backend.resident = 2, set()
        world.nodes[0].servicer.changed()
        for number in range(20):
            assert await answer(fleet, request(number, RED))
        await until(lambda: RED.engine_name in backend.resident)
        await all_eligible(fleet)


async def test_more_adapters_than_places(world: World) -> None:
    """Each is on as many nodes as there is room for, and comes back where it was pushed out."""
    for _ in range(2):
        await world.add(places=2)
    async with world.fleet() as fleet:
        await all_eligible(fleet)
        for one in (RED, GREEN, BLUE):
            await fleet.load_adapter(one)
        await asyncio.sleep(0.1)
        homes = {one.ref.name: sum(one.engine_name in b.resident for b in world.backends) for one in (RED, GREEN, BLUE)}
        assert min(homes.values()) >= 1, homes
        for number in range(30):
            assert await answer(fleet, request(number, (RED, GREEN, BLUE)[number % 3]))
        await fleet.unload_adapter(GREEN.engine_name)
        assert not any(GREEN.engine_name in backend.resident for backend in world.backends)


async def test_an_adapter_is_loaded_where_a_place_is_free(world: World) -> None:
    """A node all of whose places are in use sends on, whichever is the first in order; where all are, it is told."""
    for _ in range(2):
        await world.add(ScriptedBackend(["x "] * 400, interval=0.05), places=1)

    def one(number: int, adapter: StagedAdapter, tokens: int = 1) -> BackendRequest:
        sampling = Sampling(max_tokens=tokens)
        return request(number, adapter, token_ids=(number, 1), unsalted_tokens=1, sampling=sampling)

    async with world.fleet() as fleet:
        await all_eligible(fleet)
        for adapter in (RED, GREEN, BLUE):
            await fleet.load_adapter(adapter)
        long = [asyncio.create_task(answer(fleet, one(100, BLUE, 400)))]
        await until(lambda: sum(backend.in_flight for backend in world.backends) == 1)
        for number in range(12):  # the other node's only place goes from one to the other
            assert await answer(fleet, one(number, (RED, GREEN)[number % 2]))
        long.append(asyncio.create_task(answer(fleet, one(101, GREEN, 400))))
        await until(lambda: [backend.in_flight for backend in world.backends] == [1, 1])
        with pytest.raises(Overloaded, match="adapter places"):
            await answer(fleet, one(12, RED))
        for task in long:
            task.cancel()
        await asyncio.gather(*long, return_exceptions=True)


async def test_an_adapter_that_no_node_takes(world: World) -> None:
    await world.add()

    def refuse(ref: VersionRef, digest: str) -> StagedAdapter:
        raise AdapterRejected(f"adapter {ref}: rank 99, expected at most 8")

    world.copies.restore = refuse  # type: ignore[method-assign]
    async with world.fleet() as fleet:
        with pytest.raises(AdapterRejected, match="rank 99"):
            await fleet.load_adapter(RED)
        with pytest.raises(BackendUnavailable):
            await answer(fleet, request(0, RED))
        assert await answer(fleet, request(1))


async def test_a_silent_node_is_given_up(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A network that drops packets, as a stopped process, breaks no connection: silence tells. What was asked there
    before its first token is asked elsewhere, and comes back once."""
    for _ in range(2):
        await world.add(ScriptedBackend(["x "] * 3, interval=0.4))
    async with (
        blackhole_proxy(world.nodes[0].address) as proxy,
        world.fleet(lost_after=0.8, addresses=[proxy.address, world.nodes[1].address]) as fleet,
    ):
        await all_eligible(fleet)
        running = [
            asyncio.create_task(answer(fleet, request(n, token_ids=(n, 1), unsalted_tokens=0))) for n in range(6)
        ]
        await until(lambda: world.backends[0].in_flight > 0)
        proxy.cut()
        cut = time.monotonic()
        answers = await asyncio.gather(*running)
        assert time.monotonic() - cut < 6
        assert all(sum(chunk.tokens for chunk in chunks) == 3 for chunks in answers)
        assert "gave no sign of life for 0.8 s" in caplog.text
        proxy.mend()
        await all_eligible(fleet)
        assert world.backends[0].in_flight == 0


async def test_a_fleet_that_was_without_a_node_begins_a_new_life(world: World) -> None:
    await world.add()
    async with world.fleet() as fleet:
        await all_eligible(fleet)
        await fleet.load_adapter(RED)
        assert fleet.incarnation == 1
        backend = world.backends[0]
        backend.ready = False
        world.nodes[0].servicer.changed()
        await until(lambda: not fleet.ready)
        with pytest.raises(BackendUnavailable, match="starting"):
            await answer(fleet, request(0))
        backend.ready, backend.incarnation = True, 2
        backend.resident.clear()
        world.nodes[0].servicer.changed()
        await fleet.start()
        assert fleet.incarnation == 2
        assert RED.engine_name in backend.resident, "before it was eligible"


async def test_required_calls_go_to_a_node_and_come_back_as_they_are_written(world: World) -> None:
    backend = ScriptedBackend()
    backend.tool_calls = (RequestedCall("find", '{"day":"Sunday"}', "c1"),)
    await world.add(backend)
    schema = {"type": "object", "properties": {"day": {"type": "string"}}}
    required, sampling = RequiredCalls(schema, "find"), Sampling(max_tokens=50, max_reasoning_tokens=7, top_logprobs=1)
    wanted = request(json_schema=schema, required_calls=required, single_call=True, sampling=sampling)
    async with world.fleet() as fleet:
        await all_eligible(fleet)
        chunks = await answer(fleet, wanted)
    asked = backend.requests[-1]
    assert (asked.required_calls, asked.single_call, asked.sampling.max_reasoning_tokens) == (required, True, 7)
    told = [token for chunk in chunks for token in chunk.logprobs]
    assert [token.written.token for token in told] == backend.script
    assert [token.top for token in told] == [(token.written,) for token in told]
    deltas = [delta for chunk in chunks for delta in chunk.call_deltas]
    assert (deltas[0].name, deltas[0].id) == ("find", "c1")
    assert "".join(delta.arguments for delta in deltas) == chunks[-1].tool_calls[0].arguments == '{"day":"Sunday"}'
