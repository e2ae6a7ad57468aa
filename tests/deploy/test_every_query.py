"""Every query of dashboards and rules, asked of a real Prometheus that watched a real gateway live through a lot."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import promql_parser
import pytest
import yaml

from tests.support.gateway.serving import until
from tests.support.monitoring.queries import ROOT, Place, boards, of_board, of_rules
from tests.support.monitoring.scenario import Scenario, watching, write_config
from tests.support.prometheus import Prometheus
from tests.support.retrieval.exported_models import with_exports
from trivet.cli.server.process import ServerProcess
from trivet.client import Client

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

# What Kubernetes sets in a namespace with a Service called `trivet`.
KUBERNETES = {
    "TRIVET_PORT": "tcp://10.0.0.1:7600", "TRIVET_SERVICE_HOST": "10.0.0.1", "TRIVET_SERVICE_PORT": "7600",
    "TRIVET_SERVICE_PORT_GRPC": "7600", "TRIVET_PORT_7600_TCP": "tcp://10.0.0.1:7600",
    "TRIVET_PORT_7600_TCP_PROTO": "tcp", "TRIVET_PORT_7600_TCP_PORT": "7600", "TRIVET_PORT_7600_TCP_ADDR": "10.0.0.1",
}  # fmt: skip
# Looks back further than the scenario lasts: the same with a shorter past.
SHORTER = {"[1d] offset 1h": "[30s] offset 10s", "offset 30m": "offset 10s", "offset 1h": "offset 10s"}


EMPTY = {
    "trivet-cost: Where the machine's time goes A", "trivet-cost: What the machine costs per hour A",
    "trivet-cost: Weight of a prompt token A", "trivet-cost: Version of the weight A",
    "trivet-adapters: Cold starts A", "trivet-adapters: Time of a cold start A",
    "trivet-adapters: Time of a cold start B",
    "trivet-adapters: Input shared with the base model A",
    "trivet-engine: Nodes by state A", "trivet-engine: Requests tried on a second node A",
    "trivet-engine: Processes up A", "trivet-engine: Processes started again A",
    "TrivetProcessDown", "TrivetProcessRestarting",
}  # fmt: skip
"""Without data here: the demo has prices of tokens, and a backend has these or a machine by the hour, not both; its
adapters are named in variants, none is an activated LoRA, and its engine is no node of a fleet, its server one
process."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Prometheus, and from when to when it watched, in seconds since the epoch."""

    prometheus: Prometheus
    start: float
    end: float

    def finite(self, expression: str) -> int:
        """How many finite numbers a query has over that time."""
        series = self.prometheus.query_range(expression, self.start, self.end, 2)
        return sum(math.isfinite(float(value)) for one in series for _, value in one["values"])


@pytest.fixture(scope="module")
def watched(embedding_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("monitoring")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KUBERNETES.items():
            patch.setenv(name, value)
        with (
            ServerProcess(write_config(folder), with_exports(folder / "data", embedding_cache)) as server,
            Client(server.target, timeout=60) as client,
            watching(server, folder) as prometheus,
        ):
            start = time.time()
            list(client.build_index("handbook"))
            Scenario(server, client).play()
            end = time.time()
            until(lambda: time.time() > end + 5)
            yield Watched(prometheus, start, time.time())


def without_data(watched: Watched, places: Iterator[Place]) -> list[str]:
    return [f"{place}: {place.expression}" for place in places if not watched.finite(place.expression)]


@pytest.mark.parametrize("board", boards(), ids=lambda board: str(board["uid"]))
def test_every_query_of_a_dashboard_has_finite_data(watched: Watched, board: dict[str, object]) -> None:
    places = list(of_board(board, interval="20s", span="5m"))
    empty = [place for place in places if str(place) in EMPTY]
    assert without_data(watched, (place for place in places if place not in empty)) == []
    assert len(without_data(watched, iter(empty))) == len(empty)


def test_what_every_rule_compares_has_finite_data(watched: Watched) -> None:
    """An alert that does not fire has no data: what it compares has."""
    rules = [Place(str(rule), compared(shorter(rule.expression)), rule.panel) for rule in of_rules()]
    empty = [rule for rule in rules if str(rule) in EMPTY]
    assert without_data(watched, (rule for rule in rules if rule not in empty)) == []
    assert len(without_data(watched, iter(empty))) == len(empty) == 2


def test_no_rule_failed(watched: Watched) -> None:
    groups = watched.prometheus.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(list(of_rules()))
    assert [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] != "ok"] == []


def test_the_scalers_queries_have_finite_data(watched: Watched) -> None:
    scaler = yaml.safe_load((ROOT / "deploy/kubernetes/components/keda/scaler.yaml").read_text())
    queries = [trigger["metadata"]["query"] for trigger in scaler["spec"]["triggers"]]
    assert len(queries) == 3
    for query in queries:
        assert watched.finite(query.replace('namespace="trivet"', 'job="trivet"')), query


def test_alerts_fired_for_what_happened(watched: Watched) -> None:
    """Those that wait for no time: a rollback. Others were pending, and are not any more."""
    seen = watched.prometheus.query_range("ALERTS", watched.start, watched.end, 1)
    names = {one["metric"]["alertname"] for one in seen}
    assert {"TrivetRolledBack", "TrivetEngineDown", "TrivetVectorEngineDown", "TrivetRolloutHalted"} <= names
    still = {one["metric"]["alertname"] for one in watched.prometheus.query("ALERTS")}
    assert not {"TrivetEngineDown", "TrivetVectorEngineDown", "TrivetDown"} & still


def shorter(expression: str) -> str:
    for rule in of_rules():  # what a record holds that looks back further is put in its place
        if str(rule) in expression and any(past in rule.expression for past in SHORTER):
            expression = expression.replace(str(rule), f"({rule.expression})")
    for past, instead in SHORTER.items():
        expression = expression.replace(past, instead)
    return expression


def compared(expression: str) -> str:
    """The query with the left side of each comparison with a number in its place."""

    def left(node: promql_parser.Expr) -> promql_parser.Expr | None:
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) in {">", "<", "==", ">=", "<=", "!="}:
            return node.lhs
        return None

    return str(promql_parser.transform(promql_parser.parse(expression), left).prettify())
