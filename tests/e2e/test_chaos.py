"""Chaos on the real engine: adapters swapped at random, streams abandoned and slowed, the engine killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chaos.run import History, measure

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]  # the starts and restarts of a busy machine count too


CHANGES = {"replace", "load", "unload", "bad"}


def enough(history: History) -> bool:
    """What a run must have in it to show anything."""
    swaps = history.swaps.copy()  # another thread adds to it
    changed = sum(swaps.values()) >= 20 and set(swaps) == CHANGES
    return changed and history.answers > 30 and history.abandoned > 0 and history.slowed > 0


def test_nothing_is_wrong_lost_or_left_over_in_chaos(tmp_path: Path) -> None:
    """No wrong answer, no failure that no kill explains, no bad adapter taken, nothing missing, nothing left over."""
    history, sizes = measure(tmp_path, seconds=30.0, kills=2, seed=11, enough=enough)
    assert history.problems == []
    assert len(history.kills) == 2
    assert history.explained > 0
    assert history.answers > 30
    assert history.abandoned > 0
    assert history.slowed > 0
    assert set(history.swaps) == CHANGES
    assert sum(history.swaps.values()) >= 20, sizes
