"""What the store takes, on each database: nothing that is too long, or that one of them could not hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from trivet.errors import FailedPrecondition, InvalidRequest
from trivet.stores.state import StateStore, observations
from trivet.stores.state.schema import metadata
from trivet.types.adapter import DesiredAdapter
from trivet.types.rollout_state import Feedback, GatewayStatus, Move, ObservationBatch
from trivet.types.variant import VersionRef

MOVE = Move("start", "warming", -1, 0.0, "passed", "On.", "anna")
BATCH = ObservationBatch("r", 0, "gateway", "epoch", 0, b"x")


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("route", "", "at least one character"), ("route", "x" * 129, "at most 128"), ("spec", "x" * 65_537, "65,536"),
        ("actor", "a\0b", r"U\+0000"), ("reason", "x" * 1025, "at most 1,024"), ("reason", "\ud800", "surrogate"),
    ],
)  # fmt: skip
async def test_a_text_out_of_bounds_is_refused(state_store: StateStore, field: str, value: str, problem: str) -> None:
    texts = {"route": "support", "spec_digest": "d", "spec": "{}", "actor": "anna", "reason": "go", field: value}
    given: dict[str, Any] = texts
    with pytest.raises(InvalidRequest, match=f"{field}: .*{problem}"):
        await state_store.create(**given)
    assert await state_store.current() == {}


@pytest.mark.parametrize(
    "change",
    [
        {"share": 1.5}, {"share": float("nan")}, {"step": 1 << 40}, {"event": "x" * 33}, {"evidence": "x" * (2 << 20)},
        {"since": float("inf")}, {"actor": "x" * 129},
    ],
)  # fmt: skip
async def test_a_move_out_of_bounds_is_refused(state_store: StateStore, change: dict[str, Any]) -> None:
    record = await state_store.create("support", "d", "{}", actor="anna", reason="go")
    with pytest.raises(InvalidRequest, match=next(iter(change))):
        await state_store.move(record.id, record.revision, replace(MOVE, **change))
    assert (await state_store.current())["support"] == record


@pytest.mark.parametrize(
    "batches",
    [[replace(BATCH, data=b"x" * (2 << 20))], [BATCH] * 1000, [replace(BATCH, seq=-1)], [replace(BATCH, epoch="")]],
)
async def test_batches_out_of_bounds_are_refused(state_store: StateStore, batches: list[ObservationBatch]) -> None:
    with pytest.raises(InvalidRequest):
        await state_store.append(batches)


async def test_other_things_out_of_bounds_are_refused(state_store: StateStore) -> None:
    calls = (
        state_store.announce({"x" * 129: "d"}),
        state_store.take_lease("leader", "one", 0),
        state_store.take_lease("leader", "x" * 129, 2),
        state_store.history("support", 0),
        state_store.transitions("support", 0, 1 << 40),
        state_store.heartbeat(GatewayStatus("g", "e", "", ready={"support": "x" * (1 << 20)})),
        state_store.add_feedback(Feedback("t", "r", 1.5)),
        state_store.add_feedback(Feedback("t", "r", comment="x" * 5000)),
        state_store.desired_adapters.record("local", DesiredAdapter(VersionRef("x" * 129, "1"), "d")),
    )
    for call in calls:
        with pytest.raises(InvalidRequest):
            await call


async def test_what_fills_its_bounds_is_taken(state_store: StateStore) -> None:
    name = "\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 128
    record = await state_store.create(name, "d" * 64, "x" * (64 << 10), actor=name, reason="\N{THUMBS UP SIGN}" * 1024)
    move = replace(MOVE, message="y" * 100_000, evidence="z" * (1 << 20), actor=name)
    moved = await state_store.move(record.id, record.revision, move)
    assert len(moved.message) <= 4096
    assert "..." in moved.message
    assert await state_store.append([replace(BATCH, rollout=record.id, data=b"\0" * (1 << 20))]) == 1
    assert (await state_store.transitions(name))[-1].evidence == move.evidence


async def test_large_batches_are_read_a_few_at_a_time(state_store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observations, "_READ_BYTES", 50_000)
    record = await state_store.create("support", "d", "{}", actor="anna", reason="go")
    sizes = [10_000, 10_000, 10_000, 30_000, 60_000, 10_000]
    sent = [replace(BATCH, rollout=record.id, seq=seq, data=b"x" * size) for seq, size in enumerate(sizes)]
    assert await state_store.append(sent) == len(sizes)
    read, after = [], 0
    while some := await state_store.batches(record.id, after):
        read.append(len(some))
        after = some[-1].number
    assert read == [3, 1, 1, 1], "one that is too large for itself comes alone"


async def test_a_rollout_that_has_ended_is_never_moved_again(state_store: StateStore) -> None:
    record = await state_store.create("support", "d", "{}", actor="anna", reason="go")
    ended = await state_store.move(record.id, record.revision, replace(MOVE, event="cancel", state="cancelled"))
    with pytest.raises(FailedPrecondition, match="has ended"):
        await state_store.move(record.id, ended.revision, MOVE)


async def test_observations_of_rollouts_that_ended_long_ago_go(state_store: StateStore) -> None:
    running = await state_store.create("support", "d", "{}", actor="anna", reason="go")
    ended = await state_store.create("tickets", "d", "{}", actor="anna", reason="go")
    for seq, rollout in enumerate((running.id, ended.id, ended.id)):
        await state_store.append([replace(BATCH, rollout=rollout, seq=seq)])
    await state_store.move(ended.id, ended.revision, replace(MOVE, event="cancel", state="cancelled"))
    assert await state_store.prune(7 * 86_400) == 0, "not yet"
    assert await state_store.prune(-1) == 2
    assert await state_store.prune(-1) == 0
    assert len(await state_store.batches(running.id)) == 1
    assert await state_store.batches(ended.id) == []
    assert (await state_store.rollout(ended.id)).batches == 2


async def test_desired_adapters_are_there_the_last_one_first(state_store: StateStore) -> None:
    one, two = (DesiredAdapter(VersionRef("tone", version), version * 64) for version in ("1", "2"))
    desired = state_store.desired_adapters
    for adapter in (one, two, one):
        await desired.record("small", adapter)
    await desired.record("large", two)
    assert await desired.all("small") == [one, two]
    await desired.record("small", replace(one, digest="3" * 64))
    assert [adapter.digest[0] for adapter in await desired.all("small")] == ["3", "2"]
    for _ in range(2):
        await desired.withdraw("small", one.ref)
    assert await desired.all("small") == [two]
    assert await desired.all("large") == [two]


async def test_the_migrations_make_the_schema(state_store: StateStore) -> None:
    def differences(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    assert await state_store._database.run(differences) == []


async def test_a_files_clock_does_not_jump_and_never_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = StateStore.open(tmp_path / "state.sqlite")
    before = await store.now()
    monkeypatch.setattr("time.time", lambda: before - 600)
    assert before <= await store.now() < before + 60
    record = await store.create("support", "d", "{}", actor="anna", reason="go")
    store.close()
    again = StateStore.open(tmp_path / "state.sqlite")
    assert await again.now() >= record.created_at
    again.close()


async def test_a_file_can_be_given_a_clock(tmp_path: Path) -> None:
    times = iter(range(1000, 2000))
    store = StateStore.open(tmp_path / "state.sqlite", clock=lambda: float(next(times)))
    first, second = await store.now(), await store.now()
    assert 1000 <= first < second < 1100
    store.close()
