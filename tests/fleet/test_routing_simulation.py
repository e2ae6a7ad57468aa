"""The server's own choice of nodes in the benchmark's simulation, shortened: better than what it is compared with."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.routing.rules import RULES
from benchmarks.routing.world import Model, World

MODEL = Model(seconds=20.0, rate=60.0)


def simulated(rule: str) -> tuple[float, float, float]:
    """Prefix hits, adapter loads per request, and the largest wait for a first token but for one in a hundred."""
    world = World(MODEL, RULES[rule]())
    world.run()
    waits = sorted(one.first - one.arrived for one in world.requests if one.first is not None)
    hits = sum(one.hit for one in world.requests) / len(world.requests)
    return hits, world.loads / len(world.requests), waits[int(0.99 * len(waits))]


def test_it_loads_little_and_drowns_nobody() -> None:
    hits, loads, wait = simulated("fleet, bound 1.25")
    spread_hits, spread_loads, _ = simulated("round robin")
    _, _, sticky_wait = simulated("sticky")
    assert hits > 0.85 > spread_hits
    assert loads < spread_loads / 5
    assert wait < sticky_wait / 5


def test_every_rule_sees_the_same_requests() -> None:
    worlds = [World(replace(MODEL, seconds=5.0), RULES[rule]()) for rule in ("sticky", "round robin")]
    for world in worlds:
        world.run()
    first, second = ([(one.arrived, one.key) for one in world.requests] for world in worlds)
    assert first == second
