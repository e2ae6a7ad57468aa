"""What stable's own slowdown is measured against."""

from __future__ import annotations

import pytest

from tests.support.rollout_observations import observation
from tests.support.rollout_world import SPEC
from trivet.rollouts.control.batches import StepReport, pack
from trivet.rollouts.control.replay import Replay
from trivet.types.rollout_state import ObservationBatch, StoredBatch


def blocks(replay: Replay, *told: tuple[float, int, float]) -> None:
    """500 stable requests each: when the store has them, of which step, and their time to the first token."""
    for number, (at, step, ttft_ms) in enumerate(told, 1):
        seen = [observation(500 * number + one, at=at, step=step, ttft_ms=ttft_ms) for one in range(500)]
        data = pack(StepReport(seen), at)
        replay.take(StoredBatch(number, at, ObservationBatch("r", step, "g", "e", number, data)))


@pytest.mark.parametrize(
    ("told", "slowdown"),
    [
        ([(10.0, -1, 50.0), (90.0, -1, 100.0), (120.0, -1, 900.0), (200.0, 0, 300.0)], 3.0),
        ([(120.0, -1, 200.0), (200.0, 0, 300.0)], 1.5),
        ([(200.0, 0, 300.0), (300.0, 0, 600.0)], 2.0),
        ([], None),
    ],
    ids=[
        "the last block before the start",
        "the warm-up, without a past",
        "the first block since, without any",
        "none",
    ],
)
def test_stable_is_measured_against_its_past_where_it_has_one(
    told: list[tuple[float, int, float]], slowdown: float | None
) -> None:
    replay = Replay(SPEC)
    replay.start(100.0)
    replay.begin(0, 150.0)
    blocks(replay, *told)
    assert replay.stable_slowdown == (None if slowdown is None else pytest.approx(slowdown))
