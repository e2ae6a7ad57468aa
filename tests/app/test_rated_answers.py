"""What a gateway tells the leader of feedback: joined through the receipt, while its step lasts. A real state store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.rollout_world import ROUTE, SPEC, FakeRoutes
from trivet.app.rollouts.serving import Rollouts
from trivet.config import Config
from trivet.rollouts.control.batches import unpack
from trivet.rollouts.spec_json import to_json
from trivet.stores.data_folder import DataFolder
from trivet.stores.state import StateStore
from trivet.types.receipt import Receipt, UnitSource
from trivet.types.rollout_state import Move

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


class NoDeclarations:
    """What a configuration without rollouts asks for."""

    def __init__(self) -> None:
        self.specs: dict[str, Any] = {}
        self.untold: dict[str, str] = {}

    def on_settle(self, _call: object) -> None:
        """Never."""


@dataclass
class _State:
    cut_off_after: float = 60.0


@dataclass
class _File:
    state: _State


@dataclass
class _Config:
    file: _File


@dataclass
class Served:
    """A gateway's rollouts, and the store that they run against."""

    rollouts: Rollouts
    store: StateStore
    rollout: str
    receipt: Receipt

    async def move(self, step: int) -> None:
        """The rollout is at that step, and this gateway knows."""
        record = await self.store.rollout(self.rollout)
        wanted = Move(event="advance", state="canary", step=step, share=0.25, reason="by_hand", message="", actor="a")
        await self.store.move(self.rollout, record.revision, wanted)
        await self.rollouts.follow()

    async def told(self) -> list[tuple[int, str, str, float | None]]:
        """What the leader reads of feedback: step, unit, request id, score."""
        await self.rollouts.close()
        return [
            (one.batch.step, *said)
            for one in await self.store.batches(self.rollout, limit=100)
            for said in unpack(one).feedback
        ]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    folder = DataFolder.open(tmp_path)
    store = StateStore.open(tmp_path / "state.sqlite")
    record = await store.create(ROUTE, SPEC.digest(), to_json(SPEC), actor="a", reason="r")
    rollouts = Rollouts(
        cast(Config, _Config(_File(_State()))), folder, store, "x:1", cast(Any, NoDeclarations()),
        FakeRoutes(SPEC.digest()), lambda _: None,
    )  # fmt: skip
    receipt = Receipt(
        "r1", "acme", ROUTE, CREATED, "OK", variant="v2", unit_source=UnitSource.REQUEST, rollout=record.id,
        rollout_step=0, unit_hash="u1",
    )  # fmt: skip
    made = Served(rollouts, store, record.id, receipt)
    await made.move(0)
    yield made
    store.close()
    folder.close()


async def test_a_score_goes_with_the_report_of_its_step(served: Served) -> None:
    served.rollouts.record(served.receipt)
    served.rollouts.rate(served.receipt, 0.25)
    assert await served.told() == [(0, "u1", "r1", 0.25)]


async def test_what_cannot_count_is_not_told(served: Served) -> None:
    for other in (
        replace(served.receipt, rollout="", rollout_step=None),
        replace(served.receipt, rollout="another"),
        replace(served.receipt, rollout_step=-1),
        replace(served.receipt, route="elsewhere"),
        replace(served.receipt, unit_source=UnitSource.RANDOM),
        replace(served.receipt, unit_hash=""),
    ):
        served.rollouts.rate(other, 0.25)
    assert await served.told() == []


async def test_after_its_step_a_score_counts_no_more(served: Served) -> None:
    served.rollouts.record(served.receipt)
    await served.move(1)
    served.rollouts.rate(served.receipt, 0.25)
    served.rollouts.rate(replace(served.receipt, request_id="r2", rollout_step=1), 1.0)
    assert await served.told() == [(1, "u1", "r2", 1.0)]
