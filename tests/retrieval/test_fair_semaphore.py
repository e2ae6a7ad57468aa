"""A tenant that asks for much waits for itself. By order and count, never by time."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.support.retrieval.documents import markdown
from trivet.fairness.fair_semaphore import FairSemaphore
from trivet.retrieval.embedding.onnx_model import Vector
from trivet.retrieval.service import IndexService
from trivet.retrieval.snapshot.turns import SEARCHES
from trivet.types.passage import SearchQuery


async def test_tenants_take_turns_whoever_came_first() -> None:
    semaphore, order, running, most = FairSemaphore(2), list[str](), 0, 0

    async def call(tenant: str) -> None:
        nonlocal running, most
        async with semaphore.slot(tenant):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            order.append(tenant)
            running -= 1

    calls = [asyncio.create_task(call("flood")) for _ in range(50)]
    await asyncio.sleep(0)
    calls += [asyncio.create_task(call(tenant)) for tenant in ("acme", "bolt", "acme")]
    await asyncio.gather(*calls)
    assert most == 2
    assert Counter(order) == {"flood": 50, "acme": 2, "bolt": 1}
    assert max(at for at, tenant in enumerate(order) if tenant != "flood") < 10
    async with asyncio.timeout(60), semaphore.slot("x"), semaphore.slot("x"):
        pass


async def test_who_was_served_last_waits_for_the_others() -> None:
    semaphore, order = FairSemaphore(1), list[str]()

    async def call(tenant: str) -> None:
        async with semaphore.slot(tenant):
            order.append(tenant)
            await asyncio.sleep(0)

    async with semaphore.slot("flood"):
        calls = [asyncio.create_task(call("flood")) for _ in range(3)]
        await asyncio.sleep(0)
        calls.append(asyncio.create_task(call("acme")))
        await asyncio.sleep(0)
    await asyncio.gather(*calls)
    assert order == ["acme", "flood", "flood", "flood"]


async def test_beside_others_a_tenant_has_its_part_and_alone_all() -> None:
    now = 100.0
    semaphore = FairSemaphore(4, 2, clock=lambda: now)
    for _ in range(4):
        await semaphore.acquire("flood")  # alone: all
    other = asyncio.create_task(semaphore.acquire("acme"))
    more = [asyncio.create_task(semaphore.acquire("flood")) for _ in range(4)]
    await asyncio.sleep(0)
    semaphore.release("flood")
    await asyncio.wait_for(other, 30)
    semaphore.release("acme")
    for _ in range(2):
        semaphore.release("flood")
    await asyncio.sleep(0)
    assert sum(task.done() for task in more) == 1  # one from before, and one more: its part
    async with asyncio.timeout(60), semaphore.slot("acme"), semaphore.slot("acme"):
        pass  # the other half is free
    now += 2  # nobody else has asked for a second and more
    semaphore.release("flood")
    await asyncio.gather(*more[:4])
    assert not semaphore._waiting


async def test_beside_others_who_has_more_waiting_rests_as_long_as_it_worked() -> None:
    now, took = 100.0, 0.2
    semaphore = FairSemaphore(2, 1, clock=lambda: now)
    async with semaphore.slot("acme"):
        pass  # it is active from now on
    await semaphore.acquire("flood")
    more = [asyncio.create_task(semaphore.acquire("flood")) for _ in range(2)]
    await asyncio.sleep(0)
    now += took
    semaphore.release("flood")
    await asyncio.sleep(took / 2)
    assert not more[0].done(), "it rests"
    async with asyncio.timeout(0.05), semaphore.slot("acme"), semaphore.slot("other"):
        pass  # both slots are free for others
    await asyncio.wait_for(more[0], 30)
    semaphore.release("flood")  # that took no time, and there is one more
    await asyncio.wait_for(more[1], 30)
    now += took
    semaphore.release("flood")  # nobody waits: no rest
    async with asyncio.timeout(took / 4), semaphore.slot("flood"):
        pass
    assert semaphore._free == 2
    assert not semaphore._held
    assert not semaphore._began


async def test_alone_nobody_rests() -> None:
    now = 100.0
    semaphore = FairSemaphore(2, 1, clock=lambda: now)
    for _ in range(2):
        await semaphore.acquire("flood")
    more = [asyncio.create_task(semaphore.acquire("flood")) for _ in range(2)]
    await asyncio.sleep(0)
    now += 3600
    for call in more:
        semaphore.release("flood")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert call.done(), "in the same moment"


async def test_the_newest_of_the_tenant_with_the_most_waiting_gives_way() -> None:
    semaphore, error = FairSemaphore(1), RuntimeError("too many")
    assert not semaphore.give_way("modest", error)
    async with semaphore.slot("greedy"):
        calls = [asyncio.create_task(semaphore.acquire("greedy")) for _ in range(3)]
        await asyncio.sleep(0)
        assert semaphore.waiting == 3
        assert not semaphore.give_way("greedy", error)
        assert semaphore.give_way("modest", error)
        with pytest.raises(RuntimeError, match="too many"):
            await calls.pop()
        modest = asyncio.create_task(semaphore.acquire("modest"))
        await asyncio.sleep(0)
        assert not semaphore.give_way("modest", error)
    await modest
    semaphore.release("modest")
    for call in calls:
        await call
        semaphore.release("greedy")
    assert not semaphore._active._inside
    async with asyncio.timeout(60), semaphore.slot("x"):
        pass


async def test_a_call_that_is_cancelled_leaves_its_turn_to_others() -> None:
    semaphore = FairSemaphore(1)
    done: list[str] = []

    async def call(name: str) -> None:
        async with semaphore.slot(name):
            done.append(name)

    async with semaphore.slot("first"):
        waiting = {name: asyncio.create_task(call(name)) for name in ("a", "b", "c")}
        await asyncio.sleep(0)
        waiting["a"].cancel()  # while it waits
    waiting["b"].cancel()  # in the moment of its turn
    await asyncio.gather(*waiting.values(), return_exceptions=True)
    assert done == ["c"]
    async with asyncio.timeout(60), semaphore.slot("d"):
        pass


@pytest.mark.embedding
@pytest.mark.asyncio(loop_scope="module")
async def test_a_flood_of_one_tenant_is_not_in_front_of_anothers_search(
    service: IndexService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through everything that a search waits for: the embedding's thread and the vector process."""
    await service.upsert("handbook", markdown("lamp", "The lamp is green."))
    embedder = service.indexes["handbook"].live.embedder
    embed, embedded, ended = embedder.model.embed, list[str](), list[str]()

    def record(text: str) -> Vector:
        embedded.append(text)
        return embed(text)

    async def ask(tenant: str, number: int) -> None:
        found = await service.search(SearchQuery("handbook", f"{tenant} lamp {number}", tenant, 1))
        ended.append(tenant)
        assert len(found.passages) == 1

    monkeypatch.setattr(embedder.model, "embed", record)
    flood = [asyncio.create_task(ask("flood", number)) for number in range(60)]
    await asyncio.sleep(0)
    await asyncio.gather(ask("acme", 1), ask("bolt", 1))
    assert sum(text.startswith("flood") for text in embedded) <= 2 * SEARCHES[0] + 4
    assert ended.count("flood") <= SEARCHES[0] + 4
    await asyncio.gather(*flood)
    assert len(embedded) == 62
