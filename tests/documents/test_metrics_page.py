"""docs/metrics.md has every metric that the registry exports, with its type and labels, and no other."""

from __future__ import annotations

import re

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase

from tests.support.pages.markdown_pages import ROOT, Page
from trivet.app.rollouts.gauges import RolloutGauges
from trivet.metering.metrics import Metrics
from trivet.metering.weighted_histogram import WeightedHistogram

PAGE = Page(ROOT / "docs" / "metrics.md")
# Collected from what is loaded and routed when somebody asks, by collectors of their own.
COLLECTED = {
    "trivet_adapter_state": ("gauge", {"adapter", "state"}),
    "trivet_adapter_resident": ("gauge", {"adapter", "tier"}),
    "trivet_rollout_weight": ("gauge", {"route", "variant"}),
    "trivet_route_revision": ("gauge", {"route"}),
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


def documented() -> dict[str, tuple[str, set[str]]]:
    """The same out of the tables of the page."""
    rows = [cells for _, cells in PAGE.rows() if len(cells) == 4 and cells[0].startswith("`trivet_")]
    return {cells[0].strip("`"): (cells[1], set(re.findall(r"`(\w+)`", cells[2]))) for cells in rows}


def test_the_page_has_every_metric() -> None:
    assert documented() == exported()


def test_every_metric_of_an_example_exists() -> None:
    names = set(re.findall(r"trivet_\w+", PAGE.path.read_text()))
    histograms = {f"{name}_bucket" for name, (kind, _) in exported().items() if kind == "histogram"}
    assert names - set(exported()) - histograms - {"trivet_"} == set()
