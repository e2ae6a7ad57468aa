"""The clock of the rules that alerts are caused under (benchmarks/alerts)."""

from __future__ import annotations

import yaml

from benchmarks.alerts.watch import faster
from tests.support.monitoring.queries import RULES


def test_spans_are_shorter_and_thresholds_are_not() -> None:
    given = {"groups": [{"interval": "30s", "rules": [
        {"alert": "A", "expr": "rate(x[5m]) > 300 and avg_over_time(y[1d] offset 1h) < 0.5", "for": "15m"},
        {"alert": "TrivetEngineRestarting", "expr": "increase(z[30m]) > 2.5"},
    ]}]}  # fmt: skip
    group = faster(given, 100)["groups"][0]
    assert group["interval"] == "1s"
    assert group["rules"][0]["expr"] == "rate(x[3000ms]) > 300 and avg_over_time(y[864000ms] offset 36000ms) < 0.5"
    assert group["rules"][0]["for"] == "9000ms"
    assert group["rules"][1]["expr"] == "increase(z[180000ms]) > 2.5"


def test_every_rule_has_another_form() -> None:
    for path in RULES:
        given, text = yaml.safe_load(path.read_text()), path.read_text()
        changed = yaml.safe_dump(faster(given, 100))
        assert not any(span in changed for span in ("[5m]", "[30m]", "[1h]", "[1d]", "offset 1h", "for: 5m")), text
