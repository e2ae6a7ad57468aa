"""Rollouts that ran through the real controller and the real store, as a client reads them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from tests.support.rollout_world import ROUTE, Clock, Gateway
from trivet.cli.rollout.report.history import History, read_entry
from trivet.cli.rollout.report.replay import batch_of, looks, spec_of
from trivet.rollouts.control.operations import Operations
from trivet.rollouts.observation import Observation, Outcome
from trivet.rollouts.ports.operations import RolloutStatus
from trivet.rollouts.spec import Guardrail, GuardrailKind, RolloutSpec
from trivet.rpc.rollouts.wire import batch_to_proto, rollout_to_proto, transition_to_proto
from trivet.stores.state import StateStore
from trivet.types.rollout import Arm

BEGUN = 1_795_780_800.0  # 2026-11-27 12:00:00 UTC
SPEC = RolloutSpec(
    route=ROUTE, stable="sorter", candidate="sorter-2", stable_digest="1" * 64, candidate_digest="2" * 64,
    steps=(0.01, 0.25, 0.5),
    guardrails=(
        Guardrail(GuardrailKind.ERROR, margin=0.02, required=True),
        Guardrail(GuardrailKind.FORMAT, margin=0.08, required=True),
        Guardrail(GuardrailKind.TTFT, margin=0.08, required=True),
        Guardrail(GuardrailKind.COST, ratio=1.1),
    ),
    minimum_seconds=20.0, minimum_units=50, smoke_units=1, soak_seconds=10.0, silence_seconds=600.0,
    stable_slowdown=20.0,
)  # fmt: skip
EQUAL: Mapping[Arm, float] = {Arm.STABLE: 0.04, Arm.CANDIDATE: 0.04}


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[list[Gateway]]:
    """Two gateways over one store, a rollout that an operator has started."""
    clock = Clock(BEGUN)
    store = StateStore.open(folder / "state.sqlite", clock=lambda: clock.now)
    try:
        gateways = [Gateway(name, store, clock, SPEC, folder) for name in ("gateway-a", "gateway-b")]
        for gateway in gateways:
            await gateway.follower.follow()
        with patch("trivet.stores.state.rollouts.secrets.token_hex", lambda size: "a1" * size):  # the same units always
            await gateways[0].operations.start(ROUTE, actor="operator (key ops)", reason="a better adapter")
        yield gateways
    finally:
        store.close()


async def run(gateways: list[Gateway], broken: Mapping[Arm, float], seconds: int = 600) -> RolloutStatus:
    """Traffic of 2,000 units until the rollout ends; `broken`: the shares of answers that break their form."""
    draws, operations = random.Random(7), gateways[0].operations
    for second in range(seconds):
        for number in range(60):
            draws.choice(gateways).answer(f"unit-{draws.randrange(2000)}", f"{second}-{number}", broken, draws)
        _answer_cold(gateways[0], f"cold-{second}")
        gateways[0].clock.now += 1
        for gateway in gateways:
            await gateway.second()
        status = await operations.status(ROUTE)
        if status.state.value in ("promoted", "rolled_back", "halted"):
            return status
    raise AssertionError(f"still {status.state.value} after {seconds} s: {status.look}")


def _answer_cold(gateway: Gateway, request: str) -> None:
    rollout = gateway.routes.rollout
    if rollout is not None:
        at, step = gateway.clock.now, rollout.step
        cold = Observation(request, Arm.STABLE, step, at, Outcome.ANSWERED, unit=request, ttft_ms=900.0, cold=True)
        gateway.recorder.observe(rollout.id, cold)


async def history_of(operations: Operations) -> History:
    """The newest rollout of the route, over the contract's messages."""
    status = await operations.status(ROUTE)
    rollout = rollout_to_proto(status)
    log = [transition_to_proto(one) for one in await operations.transitions(ROUTE, 0, 1000)]
    history = History(rollout, [read_entry(one) for one in log if one.rollout == rollout.id], ())
    stored = await operations.batches(rollout.id, 0, 10_000)
    batches = [batch_of(rollout.id, batch_to_proto(one)) for one in stored]
    found = looks(spec_of(ROUTE, rollout.spec), history.entries, batches, history.end)
    return replace(history, looks=list(found))
