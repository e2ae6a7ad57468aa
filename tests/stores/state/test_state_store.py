"""The state store, on every database that it runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from trivet.errors import Conflict, LeaseLost, NotFound
from trivet.stores.state import StateStore
from trivet.types.rollout_state import Feedback, GatewayStatus, Move, ObservationBatch, RolloutRecord


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    opened = StateStore.open(tmp_path / "state.sqlite")
    yield opened
    opened.close()


def to(state: str, step: int = 0, share: float = 0.5, event: str = "begin_canary") -> Move:
    return Move(event, state, step, share, "passed", "It has passed.", "controller", '{"z": 1.5}')


async def begun(store: StateStore, route: str = "support", digest: str = "d1") -> RolloutRecord:
    return await store.create(route, digest, "{}", actor="anna", reason="a better adapter")


async def test_two_gateways_with_one_file_have_one_revision(store: StateStore) -> None:
    first = await store.announce({"support": "a", "tickets": "b"})
    assert await store.announce({"tickets": "b", "support": "a"}) == first == {"support": 1, "tickets": 1}
    assert await store.announce({"support": "c"}) == {"support": 2}
    assert await store.announce({"support": "a"}) == {"support": 3}


async def test_a_rollout_is_created_once_for_a_digest_unless_it_is_restarted(store: StateStore) -> None:
    first = await begun(store)
    assert (await begun(store)).id == first.id
    again = await store.create("support", "d1", "{}", actor="anna", reason="once more", restart=True)
    assert again.id != first.id
    assert again.salt != first.salt
    assert (await store.rollout(first.id)).state == "cancelled"
    assert [record.id for record in await store.history("support")] == [again.id, first.id]
    assert (await store.current())["support"] == again


async def test_a_transition_is_compared_set_and_logged(store: StateStore) -> None:
    record = await begun(store)
    moved = await store.move(record.id, record.revision, to("canary"))
    assert (moved.state, moved.step, moved.share, moved.revision) == ("canary", 0, 0.5, record.revision + 1)
    with pytest.raises(Conflict) as conflict:
        await store.move(record.id, record.revision, to("promoted"))
    assert conflict.value.revision == moved.revision
    log = await store.transitions("support")
    assert [(entry.from_state, entry.to_state, entry.revision) for entry in log] == [
        ("", "pending", record.revision), ("pending", "canary", moved.revision),
    ]  # fmt: skip
    assert log[1].evidence == '{"z": 1.5}'
    with pytest.raises(NotFound):
        await store.move("nothing", 1, to("canary"))


async def test_only_who_holds_the_lease_may_decide(store: StateStore) -> None:
    record = await begun(store)
    old = await store.take_lease("controller", "one", 0.05)
    assert old is not None
    assert await store.take_lease("controller", "two", 5) is None
    await asyncio.sleep(0.06)
    with pytest.raises(LeaseLost):
        await store.move(record.id, record.revision, to("canary"), old)
    new = await store.take_lease("controller", "two", 5)
    assert new is not None
    assert new.fence > old.fence
    assert (await store.move(record.id, record.revision, to("canary"), new)).fence == new.fence
    await store.release_lease(old)  # has passed on: nothing happens
    assert await store.take_lease("controller", "one", 5) is None
    await store.release_lease(new)
    assert await store.take_lease("controller", "one", 5) is not None


async def test_an_owner_whose_lease_expired_begins_anew(store: StateStore) -> None:
    old = await store.take_lease("controller", "one", 0.05)
    await asyncio.sleep(0.06)
    new = await store.take_lease("controller", "one", 5)
    assert old is not None
    assert new is not None
    assert new.fence == old.fence + 1


async def test_a_batch_is_stored_once_and_numbered_without_a_gap(store: StateStore) -> None:
    record = await begun(store)
    sent = [ObservationBatch(record.id, 0, "gateway", "epoch", seq, bytes([seq])) for seq in range(3)]
    for _ in range(3):
        await store.append(sent)
    other = ObservationBatch(record.id, 0, "other", "epoch", 0, b"x")
    assert await store.append([other, other]) == 1
    found = await store.batches(record.id)
    assert [item.number for item in found] == [1, 2, 3, 4]
    assert [item.batch for item in found] == [*sent, other]
    assert [item.number for item in await store.batches(record.id, after_number=2, limit=1)] == [3]
    assert (await store.rollout(record.id)).batches == 4


async def test_gateways_are_those_with_a_fresh_heartbeat(store: StateStore) -> None:
    status = GatewayStatus("one", "epoch", "127.0.0.1:1", applied={"support": 3}, ready={"support": "loading"})
    await store.heartbeat(status)
    await store.heartbeat(status)
    (found,) = await store.gateways(10)
    assert found.applied == {"support": 3}
    assert found.ready == {"support": "loading"}
    assert found.heartbeat > 0
    assert not await store.gateways(-1)


async def test_feedback_is_idempotent_and_the_last_word_counts(store: StateStore) -> None:
    said = Feedback("acme", "r1", 0.5, comment="fair")
    assert await store.add_feedback(said)
    assert not await store.add_feedback(said)
    assert await store.add_feedback(Feedback("acme", "r1", 1.0))
    found = await store.feedback("acme", "r1")
    assert found is not None
    assert (found.score, found.comment) == (1.0, "")
    assert await store.feedback("other", "r1") is None


async def test_whoever_listens_is_told(store: StateStore) -> None:
    record = await begun(store)
    hints = store.hints()
    waiting = asyncio.ensure_future(anext(hints))
    await asyncio.sleep(0)
    await store.move(record.id, record.revision, to("canary"))
    await asyncio.wait_for(waiting, 5)


async def test_a_store_opened_again_holds_what_it_held(tmp_path: Path) -> None:
    first = StateStore.open(tmp_path / "state.sqlite")
    record = await begun(first)
    first.close()
    again = StateStore.open(tmp_path / "state.sqlite")
    assert (await again.current())["support"] == record
    again.close()
