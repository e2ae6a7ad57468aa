"""The metrics that a gateway exports, with types and labels, out of its registry and of vLLM's source."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase

from trivet.app.rollouts.gauges import RolloutGauges
from trivet.metering.metrics import Metrics
from trivet.metering.weighted_histogram import WeightedHistogram

# Collected from what is loaded and routed when somebody asks, by collectors of their own.
COLLECTED = {
    "trivet_adapter_state": ("gauge", {"adapter", "state"}),
    "trivet_adapter_resident": ("gauge", {"adapter", "tier"}),
    "trivet_rollout_weight": ("gauge", {"route", "variant"}),
    "trivet_route_revision": ("gauge", {"route"}),
    "trivet_budget_used_ratio": ("gauge", {"owner", "name", "per", "unit"}),
    "trivet_machine_seconds_total": ("counter", {"backend", "account"}),
    "trivet_machine_cost_usd_total": ("counter", {"backend", "account"}),
    "trivet_machine_prompt_token_weight": ("gauge", {"backend", "kind"}),
    "trivet_machine_prompt_token_weight_version": ("gauge", {"backend"}),
    "trivet_process_up": ("gauge", {"process"}),
    "trivet_process_restarts_total": ("counter", {"process"}),
    "trivet_variant_info": ("gauge", {"route", "variant", "backend", "adapter", "prompt", "index"}),
}


def exported() -> dict[str, tuple[str, set[str]]]:
    """(type, labels) by name, as /metrics has them."""
    metrics = Metrics(CollectorRegistry())
    found: dict[str, tuple[str, set[str]]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, WeightedHistogram):
            found[metric.name] = ("histogram", set(metric.labels))
            continue
        assert isinstance(metric, MetricWrapperBase)
        kind = str(metric._type)
        suffix = {"counter": "_total", "info": "_info"}.get(kind, "")
        labels = {"version"} if kind == "info" else set(metric._labelnames)
        found[metric._name + suffix] = ("gauge" if kind == "info" else kind, labels)
    return found | COLLECTED | of_rollouts()


def of_rollouts() -> dict[str, tuple[str, set[str]]]:
    families = RolloutGauges(list, lambda: 0.0).describe()
    return {family.name: (family.type, set(family._labelnames)) for family in map(_gauge, families)}


def _gauge(family: Metric) -> GaugeMetricFamily:
    assert isinstance(family, GaugeMetricFamily)
    return family


def of_engine() -> set[str]:
    """The names of vLLM's metrics, without the endings of counters and histograms. Its source is read, not imported."""
    package = find_spec("vllm")
    assert package is not None, "not installed; it comes with the extras cpu and gpu"
    assert package.origin is not None
    source = Path(package.origin).parent / "v1" / "metrics" / "loggers.py"
    texts = (node.value for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Constant))
    names = {text for text in texts if isinstance(text, str) and text.startswith("vllm:")}
    assert len(names) > 20
    return names
