"""The rules that are compared; the last is the server's own code."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from benchmarks.routing.world import PREFIXES, Engine, Request, Rule, World
from trivet.fleet.choice import LOAD_BOUND, Candidate, Ranks, choose, key_of

_KEYS: dict[int, bytes] = {}


def _key(number: int) -> bytes:
    if number not in _KEYS:
        _KEYS[number] = key_of(f"adapter@{number}#0123456789ab", None, (number,) * 64)
    return _KEYS[number]


def round_robin() -> Rule:
    """One after the other; each gateway by itself."""
    turns = [itertools.count(start) for start in range(64)]

    def rule(world: World, request: Request) -> Engine:
        alive = world.alive
        return alive[next(turns[request.gateway]) % len(alive)]

    return rule


def least_loaded() -> Rule:
    """The one with the least requests: a gateway's own, and the others' as they were told."""

    def rule(world: World, request: Request) -> Engine:
        gateway = world.gateways[request.gateway]
        return min(world.alive, key=lambda engine: gateway.load(engine.name))

    return rule


def sticky() -> Rule:
    """By the key's hash alone."""
    ranks = Ranks()

    def rule(world: World, request: Request) -> Engine:
        names = [engine.name for engine in world.alive]
        order = ranks.of(_key(request.key), names)
        return world.engines[min(order, key=order.__getitem__)]

    return rule


def fleet(bound: float = LOAD_BOUND) -> Rule:
    """What `trivet.fleet.fleet.Fleet` does, with `trivet.fleet.choice` itself."""
    ranks = Ranks()

    def pick(world: World, request: Request, among: list[Engine]) -> Engine:
        gateway = world.gateways[request.gateway]
        order = ranks.of(_key(request.key), [engine.name for engine in world.alive])
        chosen = choose(
            [
                Candidate(
                    engine,
                    gateway.load(engine.name),
                    float(world.model.streams),
                    engine.has(request.key, world.now),
                    request.key in gateway.books.get(engine.name, ()),
                    order[engine.name],
                )
                for engine in among
            ],
            bound,
        )
        assert chosen is not None
        return chosen

    def rule(world: World, request: Request) -> Engine:
        chosen = pick(world, request, world.alive)
        if request.key // PREFIXES in chosen.resident:
            return chosen
        warm = [engine for engine in world.alive if engine.has(request.key, world.now)]
        if not warm:
            return chosen
        world.warm_up(chosen, request)
        return pick(world, request, warm)

    return rule


RULES: dict[str, Callable[[], Rule]] = {
    "round robin": round_robin,
    "least loaded": least_loaded,
    "sticky": sticky,
    "fleet, bound 1.1": lambda: fleet(1.1),
    "fleet, bound 1.25": fleet,
    "fleet, bound 1.5": lambda: fleet(1.5),
}
