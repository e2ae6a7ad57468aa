"""Queries of dashboards and rules: what they ask for, and how they read once a dashboard's variables are chosen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml

ROOT = Path(__file__).parents[3]
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
RULES = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml"))


@dataclass(frozen=True, slots=True)
class Asked:
    """A selector of a query: a metric, the labels that it compares, and whether a range of it is taken."""

    metric: str
    labels: frozenset[str]
    ranged: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A query and where it stands. `panel` is the panel or rule as it is in its file."""

    where: str
    expression: str
    panel: Mapping[str, Any]

    def __str__(self) -> str:
        return self.where


def asked(expression: str) -> list[Asked]:
    """Every selector of a query without variables; ValueError if it is no PromQL."""
    found: list[Asked] = []

    def visit(node: object) -> None:
        if isinstance(node, promql_parser.MatrixSelector):
            found.append(_asked(node.vector_selector, ranged=True))
        elif isinstance(node, promql_parser.VectorSelector):
            found.append(_asked(node, ranged=False))

    promql_parser.walk(promql_parser.parse(expression), visit)
    ranges = {(item.metric, item.labels) for item in found if item.ranged}
    # A range is visited with the selector in it.
    return [item for item in found if item.ranged or (item.metric, item.labels) not in ranges]


def _asked(selector: promql_parser.VectorSelector, *, ranged: bool) -> Asked:
    matchers = selector.matchers.matchers
    return Asked(selector.name or "", frozenset(matcher.name for matcher in matchers), ranged)


def chosen(expression: str, dashboard: Mapping[str, Any], *, interval: str, span: str) -> str:
    """A dashboard's query with everything chosen that can be, and `interval` and `span` for Grafana's own variables."""
    text = expression.replace("$__rate_interval", interval).replace("$__range", span)
    for variable in dashboard["templating"]["list"]:
        value = ".*" if variable.get("includeAll") else variable.get("current", {}).get("value", "")
        text = re.sub(rf"\${variable['name']}\b", value, text)
    assert "$" not in text, text
    return text


def boards() -> list[dict[str, Any]]:
    """Every dashboard as it is committed."""
    return [json.loads(path.read_text()) for path in DASHBOARDS]


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Its panels without the headings of rows."""
    return (panel for panel in board["panels"] if panel["type"] != "row")


def of_board(board: Mapping[str, Any], *, interval: str = "5m", span: str = "1h") -> Iterator[Place]:
    """Every query of its panels and annotations, with its variables chosen."""
    for panel in panels(board):
        for target in panel["targets"]:
            text = chosen(target["expr"], board, interval=interval, span=span)
            yield Place(f"{board['uid']}: {panel['title']} {target['refId']}", text, panel)
    for annotation in board["annotations"]["list"]:
        text = chosen(annotation["expr"], board, interval=interval, span=span)
        yield Place(f"{board['uid']}: annotation {annotation['name']}", text, annotation)


def of_rules() -> Iterator[Place]:
    """Every recording rule and alert."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield Place(str(rule.get("record") or rule["alert"]), rule["expr"], rule)
