"""The metrics of rollouts, made at each scrape from what this gateway knows of them then.

Labels are names of the configuration and words of a fixed list. Of a rollout only its newest state has a series, so
there are at most a few dozen for each route.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from trivet.metering.metrics import Metrics
from trivet.rollouts.judgement.evidence import GuardrailEvidence
from trivet.rollouts.ports.operations import RolloutStatus
from trivet.rollouts.states import Event
from trivet.types.rollout import Arm
from trivet.types.rollout_state import RolloutRecord

_BY_TEST = ("route", "guardrail", "test")
_GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "rollout_state": ("1 for the state of the route's newest rollout.", ("route", "state")),
    "rollout_revision": ("The revision of the route's newest rollout, as the store has it.", ("route",)),
    "rollout_step": ("The step that the rollout is at, from 1 on; 0 before the first.", ("route",)),
    "rollout_waiting": ("1 for why the rollout stays where it is.", ("route", "reason")),
    "rollout_units": ("Units of the step, by arm.", ("route", "arm")),
    "rollout_counted_requests": ("Requests of the step that count.", ("route",)),
    "rollout_excluded_requests": ("Requests of the step that do not count, by reason.", ("route", "reason")),
    "rollout_estimate": ("How far the candidate is beyond what it may be, from -1 to 1.", _BY_TEST),
    "rollout_estimate_lower": ("The estimate's lower bound, at any time.", _BY_TEST),
    "rollout_estimate_upper": ("The estimate's upper bound, at any time.", _BY_TEST),
    "rollout_z": ("The test's statistic.", _BY_TEST),
    "rollout_boundary": ("What the statistic is held against.", _BY_TEST),
    "store_staleness_seconds": ("Since this gateway last read the state store.", ()),
}


class RolloutGauges(Collector):
    """`known` and `staleness` are called from the scrape's thread and ask nobody."""

    def __init__(self, known: Callable[[], Sequence[RolloutStatus]], staleness: Callable[[], float]) -> None:
        self._known = known
        self._staleness = staleness

    def describe(self) -> Iterable[Metric]:
        """The names, so that nothing else takes them."""
        return _families().values()

    def collect(self) -> Iterable[Metric]:
        """Every route's newest rollout; looks are known to the leader alone."""
        families = _families()
        for status in self._known():
            _add_position(families, status)
            _add_look(families, status)
        families["store_staleness_seconds"].add_metric([], self._staleness())
        return families.values()


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        name: GaugeMetricFamily(f"trivet_{name}", text, labels=list(labels)) for name, (text, labels) in _GAUGES.items()
    }


def _add_position(families: dict[str, GaugeMetricFamily], status: RolloutStatus) -> None:
    route = status.route
    families["rollout_state"].add_metric([route, status.state.value], 1)
    families["rollout_step"].add_metric([route], status.step + 1)
    families["rollout_revision"].add_metric([route], status.revision)


def _add_look(families: dict[str, GaugeMetricFamily], status: RolloutStatus) -> None:
    if status.look is None:
        return
    route, decision = status.route, status.look.decision
    if decision.event is None:
        families["rollout_waiting"].add_metric([route, decision.reason.value], 1)
    evidence = decision.evidence
    if evidence is None:
        return
    for arm in Arm:
        families["rollout_units"].add_metric([route, arm.value], evidence.units.get(arm, 0))
    families["rollout_counted_requests"].add_metric([route], evidence.counted)
    for reason, requests in evidence.exclusions.items():
        families["rollout_excluded_requests"].add_metric([route, reason.value], requests)
    for test in evidence.tests:
        for name, value in _numbers(test):
            if value is not None and math.isfinite(value):  # a boundary without units is not
                families[name].add_metric([route, test.kind.value, test.test.value], value)


def _numbers(test: GuardrailEvidence) -> Iterable[tuple[str, float | None]]:
    lower, upper = test.interval or (None, None)
    return (
        ("rollout_estimate", test.estimate),
        ("rollout_estimate_lower", lower),
        ("rollout_estimate_upper", upper),
        ("rollout_z", test.z),
        ("rollout_boundary", test.boundary),
    )


def move_counter(metrics: Metrics) -> Callable[[RolloutRecord], None]:
    """What counts the transitions that this gateway makes."""

    def count(moved: RolloutRecord) -> None:
        metrics.rollout_transitions.labels(moved.route, moved.event, moved.reason).inc()
        if moved.event == Event.ROLLBACK.value:
            metrics.rollbacks.labels(moved.route, moved.reason).inc()

    return count
