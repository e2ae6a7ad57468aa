"""The dashboard asks only for metrics and labels that exist."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from trivet.app.rollouts.gauges import RolloutGauges
from trivet.metering.adapter_gauge import AdapterGauge
from trivet.metering.metrics import Metrics
from trivet.metering.route_gauges import RouteGauges

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "trivet.json"


def test_every_panel_asks_for_metrics_that_exist() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    registry.register(AdapterGauge(asyncio.new_event_loop(), list))
    registry.register(RouteGauges(dict))
    registry.register(RolloutGauges(list, lambda: 0.0))
    known = {name for collector in registry._collector_to_names.values() for name in collector}
    panels = [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]
    assert len(panels) >= 10
    for panel in panels:
        for target in panel["targets"]:
            asked = set(re.findall(r"\btrivet_[a-z_]+", target["expr"]))
            assert asked, panel["title"]
            assert asked <= known, f"{panel['title']}: {asked - known}"
