"""A world of gateways for the tests of control."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.rollout_world import Clock, World
from trivet.stores.state import StateStore


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty store."""
    clock = Clock()
    opened = StateStore.open(tmp_path / "state.sqlite", clock=lambda: clock.now)
    yield World(opened, clock, tmp_path)
    opened.close()
