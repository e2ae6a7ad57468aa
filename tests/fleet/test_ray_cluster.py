"""Engines on a Ray cluster of two nodes: found by name, one node lost, another in its place."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.fleet.nodes import ENGINE
from tests.support.engine.served_node import remote_settings
from trivet.app.remote.fleets import ASKS_RAY
from trivet.errors import BackendUnavailable
from trivet.fleet.discovery import RayNames
from trivet.fleet.fleet import Fleet, FleetSettings
from trivet.model_hub.fingerprints import model_fingerprint, tokenizer_fingerprint
from trivet.types.generation import BackendRequest
from trivet.types.variant import Sampling

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1500)]
START_SECONDS = 500.0  # of two engines side by side, on a busy machine
PLACE = {"place": 1}  # on each node of the cluster, and in each engine's bundle: one engine on a node
NODE = {"num_cpus": 1, "resources": PLACE}
MODEL = Path(str(ENGINE["model"]))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Of one node, which has Ray's control service: its loss is not what is tried here."""
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "200")  # its agents start slowly on a busy machine
    monkeypatch.setenv("RAY_enable_open_telemetry", "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    from ray.cluster_utils import Cluster

    # Without handlers of its own for the end of this process, so that nodes can be added from a thread.
    made = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False}, shutdown_at_exit=False)
    try:
        yield made
    finally:
        made.shutdown()


def add_node(cluster: Any) -> Any:
    """Ray gives one 30 s to start, which a busy machine may need more than."""
    for _ in range(3):
        with suppress(Exception):
            return cluster.add_node(**NODE)
    return cluster.add_node(**NODE)


def trivet_ray(cluster: Any, *words: str) -> list[dict[str, str]]:
    """The command, in a process of its own: Ray ends one that is connected to a node which is lost."""
    command = [sys.executable, "-m", "trivet.cli", "ray", *words, "--address", cluster.address, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS + 60)
    assert done.returncode == 0, (done.stdout, done.stderr)
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """As on each machine of the cluster."""
    listeners = {"listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0"}
    settings = {**listeners, "engine": {**ENGINE, "enable_lora": False}, "adapters": []}
    (tmp_path / "engine.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path / "engine.yaml"


class Asked:
    """One request after the other, as long as it runs."""

    def __init__(self, fleet: Fleet) -> None:
        self.answers: list[str] = []
        self.lost: list[str] = []
        self._fleet = fleet

    async def run(self) -> None:
        wanted = BackendRequest("request", tuple(range(40, 90)), Sampling(max_tokens=12, temperature=0.0))
        for number in range(100_000):
            try:
                async with aclosing(self._fleet.generate(replace(wanted, request_id=f"request-{number}"))) as chunks:
                    self.answers.append("".join([chunk.text async for chunk in chunks]))
            except BackendUnavailable as problem:
                self.lost.append(str(problem))
            await asyncio.sleep(0.2)  # leaves the engine that starts its time


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_a_node_of_the_cluster_is_lost(cluster: Any, config: Path) -> None:
    """Requests go on at the other engine; the lost one is placed on a node that comes, and asked again."""
    second = add_node(cluster)
    settings = ["--config", str(config), "--data-dir", str(config.parent / "data"), "--resource", "place=1"]
    placed = await asyncio.to_thread(trivet_ray, cluster, "scale", "2", *settings)
    assert [(one["name"], one["problem"]) for one in placed] == [("trivet-engine-1", ""), ("trivet-engine-2", "")]
    found = RayNames((sys.executable, "-m", ASKS_RAY, cluster.address, "trivet", "0.5"), 0.5)
    remote = remote_settings(expected_tokenizer=tokenizer_fingerprint(MODEL), expected_model=model_fingerprint(MODEL))
    fleet = Fleet(FleetSettings(remote, slow_start=0.0), found)
    asked = Asked(fleet)
    try:
        async with asyncio.timeout(60):
            await fleet.start()
        asking = asyncio.create_task(asked.run())
        await until(lambda: {one["address"] for one in placed} == ready(fleet))
        cluster.remove_node(second, allow_graceful=False)
        await until(lambda: len(ready(fleet)) == 1)
        [left], before = ready(fleet), len(asked.answers)
        await until(lambda: len(asked.answers) > before + 5)
        assert len(asked.lost) <= 1, asked.lost  # the one that was in flight there
        await asyncio.to_thread(add_node, cluster)
        await until(lambda: len(ready(fleet)) == 2)
        again = await asyncio.to_thread(trivet_ray, cluster, "ls")
        assert {one["address"] for one in again} == ready(fleet)
        assert left in ready(fleet)
        asking.cancel()
        assert len(set(asked.answers)) == 1, "the same answer, whoever gave it"
        rest = await asyncio.to_thread(trivet_ray, cluster, "scale", "1", *settings)
        assert [one["name"] for one in rest] == ["trivet-engine-1"]
    finally:
        await fleet.close()


def ready(fleet: Fleet) -> set[str]:
    return {address for address, endpoint in fleet.endpoints.items() if endpoint.eligible}
