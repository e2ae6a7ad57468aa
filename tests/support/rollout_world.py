"""Gateways over one real store, with a clock that the test moves."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trivet.errors import StateUnavailable
from trivet.rollouts.control.controller import LEASE_SECONDS, Controller
from trivet.rollouts.control.follower import Follower
from trivet.rollouts.control.operations import Operations
from trivet.rollouts.control.overrides import Overrides
from trivet.rollouts.control.recorder import Recorder
from trivet.rollouts.control.timing import Timing
from trivet.rollouts.observation import Observation, Outcome
from trivet.rollouts.spec import Guardrail, GuardrailKind, RolloutSpec
from trivet.rollouts.spec_json import to_json
from trivet.rollouts.store import RolloutStore
from trivet.routing.arms import assign_arm
from trivet.stores.state import StateStore
from trivet.types.rollout import ENDED, Arm, RouteRollout
from trivet.types.rollout_state import GatewayStatus, RolloutRecord

ROUTE = "support"
# Salts are drawn anew in each run: where nothing is broken, chance rolls nothing back.
EQUAL: Mapping[Arm, float] = {Arm.STABLE: 0.0, Arm.CANDIDATE: 0.0}
BROKEN: Mapping[Arm, float] = {Arm.STABLE: 0.02, Arm.CANDIDATE: 0.6}

SPEC = RolloutSpec(
    route=ROUTE, stable="v1", candidate="v2", stable_digest="a", candidate_digest="b", steps=(0.25, 0.5),
    guardrails=(
        Guardrail(GuardrailKind.ERROR, margin=0.02, required=True),
        Guardrail(GuardrailKind.FORMAT, margin=0.1, required=True),
    ),
    minimum_seconds=0.0, minimum_units=50, maximum_seconds=100_000.0, silence_seconds=1000.0, soak_seconds=0.0,
)  # fmt: skip


class FakeRoutes:
    """What a gateway serves: rollouts as they are steered, warm or not."""

    def __init__(self, digest: str) -> None:
        self.digest = digest
        self.rollout: RouteRollout | None = None
        self.revision = 0
        self.cold = ""
        self.live = ""

    def steer(self, rollouts: Mapping[str, RouteRollout | None], revisions: Mapping[str, int]) -> Mapping[str, str]:
        if ROUTE in rollouts and revisions[ROUTE] >= self.revision:
            self.rollout, self.revision = rollouts[ROUTE], revisions[ROUTE]
        return {}

    def spec_digests(self) -> Mapping[str, str]:
        return {ROUTE: self.digest}

    def applied(self) -> Mapping[str, int]:
        return {ROUTE: self.revision}

    def unready(self, _route: str) -> str:
        return self.cold

    def snapshots(self) -> Mapping[str, str]:
        return {ROUTE: self.live}


@dataclass
class Clock:
    """Seconds; `sleep` moves nothing, the test does."""

    now: float = 1000.0

    @property
    def timing(self) -> Timing:
        async def sleep(_seconds: float) -> None:
            raise AssertionError("the test makes each look itself")

        return Timing(lambda: self.now, sleep)


@dataclass(frozen=True)
class World:
    """A store whose clock the test moves, and a folder for what gateways keep."""

    store: StateStore
    clock: Clock
    folder: Path


@dataclass
class Gateway:
    """One gateway's part of control."""

    name: str
    store: RolloutStore
    clock: Clock
    spec: RolloutSpec
    folder: Path
    cut_off_after: float = 60.0
    lease_seconds: float = LEASE_SECONDS
    routes: FakeRoutes = field(init=False)
    moves: list[RolloutRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        timing = self.clock.timing
        self.routes = FakeRoutes(self.spec.digest())
        self.recorder = Recorder(self.store.append, self.name, timing)
        identity = GatewayStatus(self.name, self.recorder.epoch, f"{self.name}:1")
        self.overrides = Overrides(self.folder / f"{self.name}.json")
        self.follower = Follower(
            self.store, self.routes, self.overrides, identity, timing, self.cut_off_after,
            on_records=lambda records: self.operations.read(records),
        )  # fmt: skip
        specs = {ROUTE: (self.spec.digest(), to_json(self.spec))}
        self.operations = Operations(self.store, self.follower, lambda: specs, self.moves.append)
        self.controller = Controller(
            self.store, f"{self.name}/{self.recorder.epoch}", timing, self.operations.looked,
            lease_seconds=self.lease_seconds, on_move=self.moves.append,
        )  # fmt: skip

    async def second(self) -> None:
        """What a gateway does in a second."""
        await self.recorder.flush()
        await self.controller.look()
        await self.follower.follow()

    def answer(self, unit: str, request: str, broken: Mapping[Arm, float], draws: random.Random) -> Arm | None:
        """One request; `broken`: the share of answers whose format is broken, by arm. None if no rollout runs."""
        rollout = self.routes.rollout
        if rollout is None:
            return None
        arm = assign_arm(rollout.salt, unit, request, share=rollout.share, holdout=rollout.holdout).arm
        observation = Observation(
            request_id=request, arm=arm, step=rollout.step, at=self.clock.now, outcome=Outcome.ANSWERED, unit=unit,
            text=request, ttft_ms=draws.lognormvariate(3, 0.3), total_ms=draws.lognormvariate(4, 0.3),
            cost_nano_usd=1000, format_valid=draws.random() >= broken[arm],
        )  # fmt: skip
        self.recorder.observe(rollout.id, observation)
        return arm


async def traffic(gateways: list[Gateway], broken: Mapping[Arm, float], seconds: int, seed: int = 1) -> list[str]:
    """Some seconds of requests of 2,000 units; the states that the rollout went through."""
    draws = random.Random(seed)
    states: list[str] = []
    for second in range(seconds):
        for number in range(60):
            gateway = draws.choice(gateways)
            gateway.answer(f"unit-{draws.randrange(2000)}", f"{second}-{number}", broken, draws)
        gateways[0].clock.now += 1
        for gateway in gateways:
            await gateway.second()
        record = (await gateways[0].store.current())[ROUTE]
        if not states or states[-1] != record.state:
            states.append(record.state)
        if record.state in (*ENDED, "halted", "awaiting_approval"):
            break
    return states


async def started(world: World, count: int = 1, spec: RolloutSpec = SPEC) -> list[Gateway]:
    """Gateways whose route's rollout somebody has started."""
    gateways = [Gateway(f"g{number}", world.store, world.clock, spec, world.folder) for number in range(count)]
    for gateway in gateways:
        await gateway.follower.follow()
    await gateways[0].operations.start(ROUTE, actor="anna", reason="a better adapter")
    return gateways


class LeavingStore:
    """A store that can be away: every call raises then."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self.away = False

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)

        async def asked(*arguments: Any, **named: Any) -> Any:
            if self.away:
                raise StateUnavailable("the state store is away")
            return await call(*arguments, **named)

        return asked
