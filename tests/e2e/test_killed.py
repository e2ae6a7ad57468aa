"""The whole server killed with SIGKILL while adapters are loaded and routes switched, on the real engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.killed_gateway.run import measure

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]  # the starts of a busy machine count too


def test_what_was_ordered_is_whole_after_a_kill(tmp_path: Path) -> None:
    outcome = measure(tmp_path, orders=8, kills=1, seed=3)
    assert outcome.problems == []
    assert outcome.kills >= 1
    assert outcome.desired.orders["load"] > 0
    assert outcome.switches > 0
