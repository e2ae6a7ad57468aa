"""What an actor says while its node cannot start, and how it ends; without Ray, which only makes the object."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trivet.app.ray_cluster import engine_actor
from trivet.app.ray_cluster.engine_actor import EngineActor, NodeOrder


@pytest.fixture(autouse=True)
def switching(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Of threads, as it was."""
    monkeypatch.setattr(engine_actor, "RETRY_FIRST", 0.05)
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def told(actor: EngineActor, problem: str) -> None:
    end = time.monotonic() + 20
    while problem not in actor.told()[1]:
        assert time.monotonic() < end, actor.told()
        time.sleep(0.02)
    assert actor.told()[0] == ""


def test_a_node_that_cannot_start_says_why_and_is_tried_again(tmp_path: Path) -> None:
    config = tmp_path / "engine.yaml"
    actor = EngineActor(NodeOrder("trivet-engine-1", str(config), str(tmp_path / "data"), insecure=False))
    try:
        told(actor, "no such file")
        config.write_text("listen: 0.0.0.0:0\nengine: {kind: embedded, model: none}\n")
        told(actor, "no model in")
        assert "can be reached from other machines" in actor.told()[1]
    finally:
        actor.stop()
    assert not actor._thread.is_alive()
    actor = EngineActor(NodeOrder("trivet-engine-1", str(config), str(tmp_path / "data"), insecure=True))
    told(actor, "no model in")
    assert "can be reached from other machines" not in actor.told()[1]
    actor.stop()


def test_the_address_is_one_that_others_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    assert engine_actor._reachable("10.0.0.1:7610") == "10.0.0.1:7610"
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "10.0.0.7")
    assert engine_actor._reachable("0.0.0.0:41234") == "10.0.0.7:41234"
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "fd00::7")
    assert engine_actor._reachable("[::]:41234") == "[fd00::7]:41234"
