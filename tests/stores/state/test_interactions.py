"""Interactions in the state store, on every database that it runs on."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from tests.support.stores.postgres_server import PostgresServer
from trivet.errors import InvalidRequest
from trivet.stores.state import StateStore, interactions
from trivet.stores.state.bounds import INTERACTION_BYTES
from trivet.types.interaction import InteractionCount, InteractionFilter, SealedInteraction
from trivet.types.rollout_state import Feedback


def one(request_id: str, tenant: str = "acme", unit: str = "u", data: bytes = b"x", **fields: str) -> SealedInteraction:
    return SealedInteraction(tenant, request_id, fields.get("route", "r"), fields.get("variant", "v"), unit, data)


async def add(store: StateStore, *new: SealedInteraction, age: float = 0.0) -> int:
    return await store.add_interactions(new, [age] * len(new))


async def ids(store: StateStore, after: int = 0, limit: int = 100, tenant: str = "acme", **wanted: object) -> list[str]:
    found = await store.interactions(InteractionFilter(tenant, **wanted), after, limit)  # type: ignore[arg-type]
    return [stored.interaction.request_id for stored in found]


async def test_each_request_is_stored_once_and_numbers_grow(state_store: StateStore) -> None:
    assert await add(state_store, one("a"), one("b"), one("a")) == 2
    assert await add(state_store, one("b"), one("c"), one("a", tenant="other")) == 2
    found = await state_store.interactions(InteractionFilter("acme"))
    assert [(stored.number, stored.interaction.request_id) for stored in found] == [(1, "a"), (2, "b"), (3, "c")]
    assert await ids(state_store, after=1) == ["b", "c"]
    assert await ids(state_store, limit=1) == ["a"]
    assert await ids(state_store, tenant="other") == ["a"]
    gathered = await asyncio.gather(*(add(state_store, *(one(f"{n}-{k}") for k in range(9))) for n in range(8)))
    assert gathered == [9] * 8
    assert len(await ids(state_store)) == 75


async def test_pages_are_small_enough_together(state_store: StateStore) -> None:
    for number in range(11):
        await add(state_store, one(str(number), data=b"x" * INTERACTION_BYTES))
    first = await ids(state_store)
    assert first == [str(number) for number in range(8)]
    assert await ids(state_store, after=8) == ["8", "9", "10"]


async def test_a_page_costs_what_it_has_and_not_what_there_is(tmp_path: Path) -> None:
    store = StateStore.open(tmp_path / "state.sqlite")
    engine, plans = store._database._engine, list[str]()

    @event.listens_for(engine, "before_cursor_execute")
    def planned(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        if statement.startswith("SELECT interaction"):
            plans.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    await add(store, *(one(str(number)) for number in range(9)))
    assert await ids(store, after=4, limit=3, rated=False) == ["4", "5", "6"]
    searches = [plan for plan in plans if "interaction" in plan]
    assert len(searches) == 2
    assert all("INDEX interaction_number (tenant=? AND number>?" in plan for plan in searches)
    assert not any("ORDER BY" in plan for plan in plans), "nothing is sorted"
    store.close()


async def test_filters_restrict(state_store: StateStore) -> None:
    await add(state_store, one("a"), one("b", route="s"), one("c", variant="w"))
    await state_store.add_feedback(Feedback("acme", "b", 1.0))
    await state_store.add_feedback(Feedback("other", "a", 1.0))
    now = await state_store.now()
    assert await ids(state_store, routes=("s",)) == ["b"]
    assert await ids(state_store, variants=("w", "x")) == ["c"]
    assert await ids(state_store, rated=True) == ["b"]
    assert await ids(state_store, after=0, before=None) == ["a", "b", "c"]
    late = await state_store.interactions(InteractionFilter("acme", after=now + 60))
    early = await state_store.interactions(InteractionFilter("acme", before=now + 60))
    assert (len(late), len(early)) == (0, 3)


async def test_they_are_counted_with_what_was_said(state_store: StateStore) -> None:
    await add(state_store, one("a"), one("b"), one("c", variant="w"))
    await state_store.add_feedback(Feedback("acme", "a", 0.5, corrected_text="better"))
    await state_store.add_feedback(Feedback("acme", "b", None, label="wrong"))
    v, w = await state_store.count_interactions(InteractionFilter("acme"))
    assert (v.route, v.variant, v.stored, v.rated, v.corrected, v.mean_score) == ("r", "v", 2, 2, 1, 0.5)
    assert v.oldest <= v.newest
    assert w == InteractionCount("r", "w", 1, 0, 0, None, w.oldest, w.newest)
    assert await state_store.count_interactions(InteractionFilter("other")) == []


async def test_what_was_erased_stays_so(state_store: StateStore) -> None:
    await add(state_store, one("a", unit="u1"), one("b", unit="u2"), one("c", "other", unit="u1"))
    await state_store.add_feedback(Feedback("acme", "a", 0.5))
    assert await state_store.erase_interactions("acme", ["u1"], []) == 1
    assert await state_store.erase_interactions("acme", ["u1"], []) == 0
    assert await ids(state_store) == ["b"]
    assert await ids(state_store, tenant="other") == ["c"]
    assert await state_store.feedback("acme", "a") is None
    assert await add(state_store, one("d", unit="u1"), one("e", "other", unit="u1"), age=60) == 1  # on the way before
    assert await state_store.erase_interactions("acme", [], ["b"]) == 1
    assert await add(state_store, one("b", unit="u2"), age=60) == 0
    assert await state_store.erase_interactions("acme", [], [], everything=True) == 0
    assert await add(state_store, one("f", unit="u9"), age=60) == 0
    assert await ids(state_store) == []


@pytest.mark.process
async def test_an_erasure_waits_for_what_another_gateway_is_storing(postgres: PostgresServer) -> None:
    place = postgres.new_database()
    storing, erasing = StateStore.open(place), StateStore.open(place)
    stored, go_on = threading.Event(), threading.Event()

    def slowly(connection: Connection) -> None:
        interactions.append(connection, [one("a", unit="u1")], [0.0])
        stored.set()
        assert go_on.wait(60)

    adding = asyncio.create_task(storing._database.run(slowly))
    await asyncio.to_thread(stored.wait, 60)
    erased = asyncio.create_task(erasing.erase_interactions("acme", ["u1"]))
    await asyncio.sleep(0.5)
    assert not erased.done()
    go_on.set()
    await adding
    assert await erased == 1
    assert await ids(erasing) == []
    storing.close()
    erasing.close()


async def test_what_was_said_of_a_forgotten_interaction_can_be_erased(state_store: StateStore) -> None:
    for request_id in ("a", "b"):
        await state_store.add_feedback(Feedback("acme", request_id, 0.5))
        await state_store.add_feedback(Feedback("other", request_id, 0.5))
    await state_store.erase_interactions("acme", ["u"], ["a"])
    assert await state_store.feedback("acme", "a") is None
    assert await state_store.feedback("acme", "b") is not None
    await state_store.erase_interactions("acme", everything=True)
    assert await state_store.feedback("acme", "b") is None
    assert await state_store.feedback("other", "a") is not None


async def test_what_is_old_is_forgotten(state_store: StateStore) -> None:
    await add(state_store, *(one(str(number)) for number in range(200)))
    assert await state_store.forget_interactions(60) == 0
    assert await state_store.forget_interactions(-60) == 200
    assert await state_store.forget_interactions(-60) == 0


async def test_what_is_out_of_bounds_is_refused(state_store: StateStore) -> None:
    for wrong in (one("x" * 129), one("a", data=b"x" * (INTERACTION_BYTES + 1)), one(""), one("a\0")):
        with pytest.raises(InvalidRequest):
            await add(state_store, wrong)
    with pytest.raises(InvalidRequest, match="at most 1,000"):
        await state_store.erase_interactions("acme", ["u"] * 1001)
