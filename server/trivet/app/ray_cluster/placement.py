"""How many engine nodes a Ray cluster has: actors are placed until there are as many as wanted, or taken away."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from trivet.app.ray_cluster.connection import PREFIX, connect, engine_numbers

THREADS = 4  # of an actor: `told` is answered while `stop` waits
ASK_SECONDS = 5.0
POLL = 0.5


@dataclass(frozen=True, slots=True)
class Engines:
    """What each of them is given. `config` and `data_dir` are paths on the machines of the cluster; each engine has a
    folder of its own in `data_dir`. `resources`: Ray's own names and amounts, beside CPUs and GPUs."""

    config: PurePosixPath
    data_dir: PurePosixPath
    cpus: float = 1.0
    gpus: float = 0.0
    resources: Mapping[str, float] = field(default_factory=dict)
    insecure: bool = False

    @property
    def bundle(self) -> dict[str, float]:
        """All of it on one machine: an engine does not span several."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus, **self.resources}
        return {name: amount for name, amount in wanted.items() if amount}


@dataclass(frozen=True, slots=True)
class EngineOnRay:
    """One engine: where gateways reach it, or why they do not."""

    name: str
    address: str
    problem: str


class RayEngines:
    """The engines of one namespace of a cluster."""

    def __init__(self, address: str, namespace: str) -> None:
        """Raises ConfigError and ConnectionError as `connect` does."""
        self._ray = connect(address, namespace)
        self._namespace = namespace

    def engines(self) -> list[EngineOnRay]:
        """All of them, in order; each is asked."""
        actors = {name: self._ray.get_actor(name) for _, name in sorted(engine_numbers(self._ray).items())}
        asked = {name: actor.told.remote() for name, actor in actors.items()}
        if asked:
            self._ray.wait(list(asked.values()), num_returns=len(asked), timeout=ASK_SECONDS)
        return [EngineOnRay(name, *self._answer(reference)) for name, reference in asked.items()]

    def scale(self, count: int, engines: Engines, wait: float, told: Callable[[str], None]) -> list[EngineOnRay]:
        """Place and remove until there are `count`; those that are there stay as they are, and those of the highest
        numbers go, once they have finished what is in flight. Returns all, when they serve or after `wait` seconds."""
        there = engine_numbers(self._ray)
        for number in sorted(there, reverse=True)[: max(0, len(there) - count)]:
            told(f"{there[number]} finishes what is in flight and ends")
            self._remove(there.pop(number), wait)
        free = (number for number in range(1, count + len(there) + 1) if number not in there)
        for number in [next(free) for _ in range(count - len(there))]:
            told(f"{PREFIX}{number} is placed")
            self._place(f"{PREFIX}{number}", engines)
        deadline = time.monotonic() + wait
        found = self.engines()
        while not all(engine.address for engine in found) and time.monotonic() < deadline:
            time.sleep(POLL)
            found = self.engines()
        return found

    def _place(self, name: str, engines: Engines) -> None:
        """A placement group of one bundle, and in it the actor. Both outlive this process, and the machine they are on:
        Ray then looks for another place for the bundle, and starts the actor there."""
        from ray.util.placement_group import get_placement_group, placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        from trivet.app.ray_cluster.engine_actor import EngineActor, NodeOrder  # which imports the engine

        try:  # of a call that was broken off before it made the actor
            group = get_placement_group(name)
        except ValueError:
            group = placement_group([engines.bundle], strategy="STRICT_PACK", name=name, lifetime="detached")
        strategy = PlacementGroupSchedulingStrategy(placement_group=group, placement_group_bundle_index=0)
        actor = self._ray.remote(EngineActor).options(
            name=name, namespace=self._namespace, lifetime="detached", max_restarts=-1, max_concurrency=THREADS,
            num_cpus=engines.cpus, num_gpus=engines.gpus, resources=dict(engines.resources),
            scheduling_strategy=strategy,
        )  # fmt: skip
        actor.remote(NodeOrder(name, str(engines.config), str(engines.data_dir / name), engines.insecure))

    def _remove(self, name: str, wait: float) -> None:
        from ray.util.placement_group import get_placement_group, remove_placement_group

        actor = self._ray.get_actor(name)
        answered, _ = self._ray.wait([actor.told.remote()], timeout=ASK_SECONDS)
        if answered:  # else it waits for a place, and has nothing to finish
            self._ray.wait([actor.stop.remote()], timeout=wait)
        self._ray.kill(actor, no_restart=True)
        remove_placement_group(get_placement_group(name))

    def _answer(self, reference: Any) -> tuple[str, str]:
        """Address and problem."""
        try:
            address, problem = self._ray.get(reference, timeout=0)
        except self._ray.exceptions.GetTimeoutError:
            return "", "waits for a place on the cluster, or does not answer"
        except self._ray.exceptions.RayError as error:
            return "", f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        return str(address), str(problem)
