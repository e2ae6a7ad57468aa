"""A minute of chaos on the real engine: adapters swapped at random, streams abandoned and slowed, the engine killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos import measure

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]  # the starts and restarts of a busy machine count too


def test_a_minute_of_chaos(tmp_path: Path) -> None:
    """No wrong answer, no failure that no kill explains, no bad adapter taken, nothing missing, nothing left over."""
    history, sizes = measure(tmp_path, seconds=60.0, kills=2, seed=11)
    assert history.problems == []
    assert len(history.kills) == 2
    assert history.explained > 0
    assert history.answers > 30
    assert history.abandoned > 0
    assert history.slowed > 0
    assert set(history.swaps) == {"replace", "load", "unload", "bad"}
    assert sum(history.swaps.values()) >= 20, sizes
