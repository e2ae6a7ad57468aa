"""The metrics of rollouts: what a look says, and nothing of what is not known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry

from tests.support.rollout_histories import EQUAL, run, world
from tests.support.rollout_world import ROUTE
from trivet.app.rollouts.gauges import RolloutGauges, move_counter
from trivet.metering.metrics import Metrics
from trivet.rollouts.judgement.case import Health, Reason
from trivet.rollouts.judgement.decisions import Decision
from trivet.rollouts.judgement.evidence import Evidence, GuardrailEvidence, Test
from trivet.rollouts.observation import Exclusion
from trivet.rollouts.ports.operations import Look, RolloutStatus
from trivet.rollouts.spec import GuardrailKind, RolloutSpec
from trivet.rollouts.states import Event, State
from trivet.rollouts.tallying.thresholds import Thresholds
from trivet.types.rollout import Arm

FORMAT = GuardrailEvidence(
    kind=GuardrailKind.FORMAT, test=Test.ROLLBACK, alpha=0.002, tolerance=0.0, ratio=1.0, estimate=0.02,
    standard_error=0.01, z=2.0, boundary=3.0, stable=(40, 80, 0, 160, 0, 0), candidate=(41, 90, 18, 200, 40, 10),
    crossed=False,
)  # fmt: skip
EARLY = replace(FORMAT, kind=GuardrailKind.COST, estimate=None, standard_error=None, z=None, boundary=math.inf)
EVIDENCE = Evidence(
    step=1, share=0.25, units={Arm.STABLE: 40, Arm.CANDIDATE: 41}, new_units={}, counted=170,
    exclusions={Exclusion.COLD: 7}, sample_ratio_log_evidence=None,
    tests=(FORMAT, EARLY),
)  # fmt: skip
STATUS = RolloutStatus(
    id="r1", route="tickets", spec=RolloutSpec("tickets", "sorter", "sorter-2", "a", "b"), spec_digest="c",
    state=State.CANARY, step=1, share=0.25, revision=14, created_at=0, since=0, judged_since=0,
    look=Look(0.0, Decision(None, Reason.MINIMUM_UNITS, "Few.", EVIDENCE), Health(), Thresholds()),
)  # fmt: skip


def exported(*statuses: RolloutStatus) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(RolloutGauges(lambda: statuses, lambda: 2.5))
    return registry


def test_a_look_is_exported_with_its_bounds_counts_and_reason() -> None:
    registry = exported(STATUS)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"trivet_{name}", labels)

    assert value("rollout_state", route="tickets", state="canary") == 1
    assert value("rollout_step", route="tickets") == 2
    assert value("rollout_waiting", route="tickets", reason="minimum_units") == 1
    assert value("rollout_units", route="tickets", arm="candidate") == 41
    assert value("rollout_counted_requests", route="tickets") == 170
    assert value("rollout_excluded_requests", route="tickets", reason="cold") == 7
    assert value("rollout_revision", route="tickets") == 14
    assert value("store_staleness_seconds") == 2.5
    of_test = {"route": "tickets", "guardrail": "format", "test": "rollback"}
    bounds = [value(f"rollout_{name}", **of_test) for name in ("estimate", "estimate_lower", "estimate_upper")]
    assert [round(bound or 9, 6) for bound in bounds] == [0.02, -0.01, 0.05]
    assert (value("rollout_z", **of_test), value("rollout_boundary", **of_test)) == (2.0, 3.0)


def test_what_is_not_known_has_no_series() -> None:
    unknown = {"route": "tickets", "guardrail": "cost", "test": "rollback"}
    for name in ("estimate", "estimate_lower", "estimate_upper", "z", "boundary"):
        assert exported(STATUS).get_sample_value(f"trivet_rollout_{name}", unknown) is None
    names = {sample.name for family in exported(replace(STATUS, look=None)).collect() for sample in family.samples}
    assert names == {
        "trivet_rollout_state", "trivet_rollout_step", "trivet_rollout_revision",
        "trivet_store_staleness_seconds",
    }  # fmt: skip


def test_a_rollout_that_moves_on_waits_for_nothing() -> None:
    assert STATUS.look is not None
    passed = replace(STATUS.look, decision=Decision(Event.ADVANCE, Reason.PASSED, ""))
    names = {sample.name for family in exported(replace(STATUS, look=passed)).collect() for sample in family.samples}
    assert "trivet_rollout_waiting" not in names


async def test_transitions_are_counted_by_the_gateway_that_made_them(tmp_path: Path) -> None:
    async with world(tmp_path) as gateways:
        await run(gateways, {**EQUAL, Arm.CANDIDATE: 0.9})
    registries = [CollectorRegistry() for _ in gateways]
    for gateway, registry in zip(gateways, registries, strict=True):
        count = move_counter(Metrics(registry))
        for moved in gateway.moves:
            count(moved)

    def total(name: str, **labels: str) -> float:
        values = [
            registry.get_sample_value(f"trivet_{name}_total", {"route": ROUTE} | labels) for registry in registries
        ]
        return sum(value or 0 for value in values)

    assert total("rollout_transitions", event="start", reason="by_hand") == 1
    assert total("rollout_transitions", event="rollback", reason="guardrail_crossed") == 1
    assert total("rollbacks", reason="guardrail_crossed") == 1
