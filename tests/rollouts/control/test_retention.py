"""Observations of rollouts that ended long ago."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from trivet.rollouts.control.retention import KEEP_SECONDS, PRUNE_SECONDS, Retention
from trivet.rollouts.control.timing import Timing
from trivet.stores.state import StateStore
from trivet.types.rollout_state import Move, ObservationBatch


class Enough(Exception):
    """The test has seen what it wanted."""


@pytest.mark.parametrize("leads", [True, False])
async def test_the_leader_deletes_them_when_they_are_old_enough(tmp_path: Path, leads: bool) -> None:
    now, hours = 1000.0, 0
    store = StateStore.open(tmp_path / "state.sqlite", clock=lambda: now)
    record = await store.create("support", "d", "{}", actor="anna", reason="go")
    for seq in range(3):
        await store.append([ObservationBatch(record.id, 0, "gateway", "epoch", seq, b"x")])
    cancel = Move("cancel", "cancelled", -1, 0.0, "by_hand", "Not needed.", "anna")
    await store.move(record.id, record.revision, cancel)
    left: list[int] = []

    async def sleep(seconds: float) -> None:
        nonlocal now, hours
        await asyncio.sleep(0)
        now += seconds
        if seconds == PRUNE_SECONDS:
            hours += 1
            left.append(len(await store.batches(record.id)))
        if now > 1000 + KEEP_SECONDS + 3 * PRUNE_SECONDS:
            raise Enough

    with pytest.raises(Enough):
        await Retention(store, Timing(sleep=sleep), lambda: leads).run()
    kept = round(KEEP_SECONDS / PRUNE_SECONDS)
    assert set(left[:kept]) == {3}
    assert left[-1] == (0 if leads else 3)
    store.close()
