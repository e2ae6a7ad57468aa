"""Panels of Grafana dashboards as plain data: what each kind has beside its title, description, unit and queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
HEIGHT = 8
TILE_HEIGHT = 4

SERVED = 'job=~"$job",instance=~"$instance"'
BY_ROUTE = SERVED + ',route=~"$route"'
BY_VARIANT = BY_ROUTE + ',variant=~"$variant"'


@dataclass(frozen=True, slots=True)
class Query:
    """One query and how its series are named; `instant` for the newest value alone."""

    expression: str
    legend: str = ""
    instant: bool = False
    exemplars: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """`kind` is Grafana's name of the panel's type; `more` goes into it as it is."""

    kind: str
    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    width: int
    height: int
    more: Mapping[str, Any]

    def as_json(self, number: int, x: int, y: int) -> Json:
        """The panel at this place of the grid."""
        panel = {
            "type": self.kind,
            "id": number,
            "title": self.title,
            "description": self.description,
            "datasource": SOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "fieldConfig": {"defaults": {"unit": self.unit}, "overrides": []},
            "targets": [_target(letter, query) for letter, query in zip("ABCDEFGH", self.queries, strict=False)],
        }
        return _merged(panel, self.more)


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 8,
    stacked: bool = False,
    least: float | None = 0,
) -> Panel:
    """Lines over time."""
    custom: Json = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False}
    if stacked:
        custom |= {"stacking": {"mode": "normal", "group": "A"}, "fillOpacity": 40}
    defaults: Json = {"custom": custom}
    if least is not None:
        defaults["min"] = least
    more = {
        "fieldConfig": {"defaults": defaults},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }
    return Panel("timeseries", title, description, unit, queries, width, HEIGHT, more)


def tile(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    steps: Sequence[tuple[float | None, str]] = (),
    width: int = 4,
) -> Panel:
    """One number. `steps`: from which value on it has which colour."""
    shown = steps or [(None, "text")]
    thresholds = {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in shown]}
    more = {
        "fieldConfig": {"defaults": {"thresholds": thresholds, "color": {"mode": "thresholds"}}},
        "options": {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "area",
            "justifyMode": "auto",
            "textMode": "auto",
        },
    }
    return Panel("stat", title, description, unit, (query,), width, TILE_HEIGHT, more)


def table(title: str, description: str, columns: Mapping[str, tuple[str, str]], by: Sequence[str]) -> Panel:
    """A row for each combination of the labels `by`. `columns`: title to (query, unit)."""
    queries = tuple(Query(expression, instant=True) for expression, _ in columns.values())
    names = {f"Value #{letter}": name for letter, name in zip("ABCDEFGH", columns, strict=False)}
    overrides = [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}]}
        for name, (_, unit) in columns.items()
    ]
    order = {name: number for number, name in enumerate((*by, *names))}
    more = {
        "fieldConfig": {"defaults": {}, "overrides": overrides},
        "options": {"showHeader": True, "cellHeight": "sm"},
        "transformations": [
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names},
            },
        ],
    }
    return Panel("table", title, description, "short", queries, WIDTH, HEIGHT, more)


def quantiles(metric: str, labels: str, by: Sequence[str] = (), *, exemplars: bool = False) -> tuple[Query, Query]:
    """The median and the 95th percentile of a histogram."""
    name = " ".join(f"{{{{{label}}}}}" for label in by)
    kept = ", ".join(("le", *by))
    rate = f"sum by ({kept}) (rate({metric}_bucket{{{labels}}}[$__rate_interval]))"
    return (
        Query(f"histogram_quantile(0.5, {rate})", f"p50 {name}".strip()),
        Query(f"histogram_quantile(0.95, {rate})", f"p95 {name}".strip(), exemplars=exemplars),
    )


def rate(metric: str, labels: str, by: Sequence[str], legend: str = "", *, times: str = "") -> Query:
    """A counter's increase per second, or `times` that."""
    name = legend or " ".join(f"{{{{{label}}}}}" for label in by)
    return Query(f"{times}sum by ({', '.join(by)}) (rate({metric}{{{labels}}}[$__rate_interval]))", name)


def changes(metric: str, labels: str, by: Sequence[str], legend: str = "") -> Query:
    """How often a counter rose in the interval, a series that begins within it included."""
    name = legend or " ".join(f"{{{{{label}}}}}" for label in by)
    chosen = f"{metric}{{{labels}}}"
    return Query(
        f"sum by ({', '.join(by)}) (increase({chosen}[$__rate_interval])"
        f" or ({chosen} unless {chosen} offset $__rate_interval))",
        name,
    )


def _target(letter: str, query: Query) -> Json:
    target: Json = {"refId": letter, "datasource": SOURCE, "expr": query.expression, "legendFormat": query.legend}
    if query.instant:
        target |= {"instant": True, "range": False, "format": "table"}
    if query.exemplars:
        target["exemplar"] = True
    return target


def _merged(one: Json, other: Mapping[str, Any]) -> Json:
    merged = dict(one)
    for key, value in other.items():
        merged[key] = _merged(merged[key], value) if isinstance(merged.get(key), dict) else value
    return merged
