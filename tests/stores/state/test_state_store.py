"""The state store, on every database that it runs on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from trivet.errors import Conflict, LeaseLost, NotFound
from trivet.stores.state import StateStore
from trivet.types.rollout_state import Feedback, GatewayStatus, Move, ObservationBatch, RolloutRecord


def to(state: str, step: int = 0, share: float = 0.5, event: str = "begin_canary") -> Move:
    return Move(event, state, step, share, "passed", "It has passed.", "controller", '{"z": 1.5}')


async def begun(state_store: StateStore, route: str = "support", digest: str = "d1") -> RolloutRecord:
    return await state_store.create(route, digest, "{}", actor="anna", reason="a better adapter")


async def test_two_gateways_with_one_file_have_one_revision(state_store: StateStore) -> None:
    first = await state_store.announce({"support": "a", "tickets": "b"})
    assert await state_store.announce({"tickets": "b", "support": "a"}) == first == {"support": 1, "tickets": 1}
    assert await state_store.announce({"support": "c"}) == {"support": 2}
    assert await state_store.announce({"support": "a"}) == {"support": 3}


async def test_a_rollout_is_created_once_for_a_digest_unless_it_is_restarted(state_store: StateStore) -> None:
    first = await begun(state_store)
    assert (await begun(state_store)).id == first.id
    again = await state_store.create("support", "d1", "{}", actor="anna", reason="once more", restart=True)
    assert again.id != first.id
    assert again.salt != first.salt
    assert (await state_store.rollout(first.id)).state == "cancelled"
    assert [record.id for record in await state_store.history("support")] == [again.id, first.id]
    assert (await state_store.current())["support"] == again


async def test_a_transition_is_compared_set_and_logged(state_store: StateStore) -> None:
    record = await begun(state_store)
    moved = await state_store.move(record.id, record.revision, to("canary"))
    assert (moved.state, moved.step, moved.share, moved.revision) == ("canary", 0, 0.5, record.revision + 1)
    with pytest.raises(Conflict) as conflict:
        await state_store.move(record.id, record.revision, to("promoted"))
    assert conflict.value.revision == moved.revision
    log = await state_store.transitions("support")
    assert [(entry.from_state, entry.to_state, entry.revision) for entry in log] == [
        ("", "pending", record.revision), ("pending", "canary", moved.revision),
    ]  # fmt: skip
    assert log[1].evidence == '{"z": 1.5}'
    with pytest.raises(NotFound):
        await state_store.move("nothing", 1, to("canary"))


async def test_only_who_holds_the_lease_may_decide(state_store: StateStore) -> None:
    record = await begun(state_store)
    old = await state_store.take_lease("controller", "one", 2)
    assert old is not None
    assert await state_store.take_lease("controller", "two", 5) is None
    await asyncio.sleep(2.1)
    with pytest.raises(LeaseLost):
        await state_store.move(record.id, record.revision, to("canary"), old)
    new = await state_store.take_lease("controller", "two", 600)
    assert new is not None
    assert new.fence > old.fence
    assert (await state_store.move(record.id, record.revision, to("canary"), new)).fence == new.fence
    await state_store.release_lease(old)  # has passed on: nothing happens
    assert await state_store.take_lease("controller", "one", 5) is None
    await state_store.release_lease(new)
    assert await state_store.take_lease("controller", "one", 5) is not None


async def test_an_owner_whose_lease_expired_begins_anew(state_store: StateStore) -> None:
    old = await state_store.take_lease("controller", "one", 0.05)
    await asyncio.sleep(0.06)
    new = await state_store.take_lease("controller", "one", 5)
    assert old is not None
    assert new is not None
    assert new.fence == old.fence + 1


async def test_a_batch_is_stored_once_and_numbered_without_a_gap(state_store: StateStore) -> None:
    record = await begun(state_store)
    sent = [ObservationBatch(record.id, 0, "gateway", "epoch", seq, bytes([seq])) for seq in range(3)]
    for _ in range(3):
        await state_store.append(sent)
    other = ObservationBatch(record.id, 0, "other", "epoch", 0, b"x")
    assert await state_store.append([other, other]) == 1
    found = await state_store.batches(record.id)
    assert [item.number for item in found] == [1, 2, 3, 4]
    assert [item.batch for item in found] == [*sent, other]
    assert [item.number for item in await state_store.batches(record.id, after_number=2, limit=1)] == [3]
    assert (await state_store.rollout(record.id)).batches == 4


async def test_gateways_are_those_with_a_fresh_heartbeat(state_store: StateStore) -> None:
    status = GatewayStatus("one", "epoch", "127.0.0.1:1", applied={"support": 3}, ready={"support": "loading"})
    await state_store.heartbeat(status)
    await state_store.heartbeat(status)
    (found,) = await state_store.gateways(10)
    assert found.applied == {"support": 3}
    assert found.ready == {"support": "loading"}
    assert found.heartbeat > 0
    assert not await state_store.gateways(-1)


async def test_feedback_is_idempotent_and_the_last_word_counts(state_store: StateStore) -> None:
    said = Feedback("acme", "r1", 0.5, comment="fair")
    assert await state_store.add_feedback(said)
    assert not await state_store.add_feedback(said)
    assert await state_store.add_feedback(Feedback("acme", "r1", 1.0))
    found = await state_store.feedback("acme", "r1")
    assert found is not None
    assert (found.score, found.comment) == (1.0, "")
    assert await state_store.feedback("other", "r1") is None


async def test_whoever_listens_is_told(state_store: StateStore) -> None:
    record = await begun(state_store)
    hints = state_store.hints()
    waiting = asyncio.ensure_future(anext(hints))
    await asyncio.sleep(0)
    await state_store.move(record.id, record.revision, to("canary"))
    await asyncio.wait_for(waiting, 30)


async def test_a_store_opened_again_holds_what_it_held(state_place: Path | str) -> None:
    first = StateStore.open(state_place)
    record = await begun(first)
    first.close()
    again = StateStore.open(state_place)
    assert (await again.current())["support"] == record
    again.close()
