"""A dashboard: rows of panels on Grafana's grid, with the variables, links and annotations that all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.grafana.panels import SERVED, SOURCE, WIDTH, Json, Panel

SCHEMA = 39  # of Grafana 10.4 and newer; those upgrade it by themselves
TAG = "trivet"


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and the panels below it, from left to right."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable out of a fixed list; the first is chosen at first."""

    name: str
    label: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Labels:
    """A variable out of a label's values in Prometheus."""

    name: str
    label: str
    query: str


JOB = Labels("job", "Job", "label_values(trivet_build_info, job)")
INSTANCE = Labels("instance", "Gateway", 'label_values(trivet_build_info{job=~"$job"}, instance)')
ROUTE = Labels("route", "Route", f"label_values(trivet_requests_total{{{SERVED}}}, route)")
VARIANT = Labels("variant", "Variant", f'label_values(trivet_requests_total{{{SERVED},route=~"$route"}}, variant)')
BACKEND = Labels("backend", "Backend", f"label_values(trivet_engine_up{{{SERVED}}}, backend)")
INDEX = Labels("index", "Index", f"label_values(trivet_index_snapshot_lag{{{SERVED}}}, index)")


@dataclass(frozen=True, slots=True)
class Board:
    """`name` is its file and the end of its uid. Every one has the variables for data source, job and gateway."""

    name: str
    title: str
    description: str
    variables: tuple[Labels | Choice, ...]
    rows: tuple[Row, ...]

    def as_json(self) -> Json:
        """The dashboard as Grafana imports it."""
        return {
            "uid": f"trivet-{self.name}",
            "title": f"Trivet / {self.title}",
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "utc",
            "links": [
                {
                    "type": "dashboards", "title": "Trivet", "tags": [TAG], "asDropdown": True, "includeVars": True,
                    "keepTime": True, "targetBlank": False, "icon": "external link",
                }
            ],
            "annotations": {"list": [_annotation(*item) for item in ANNOTATIONS]},
            "templating": {"list": [_source(), *map(_variable, (JOB, INSTANCE, *self.variables))]},
            "panels": _laid_out(self.rows),
        }  # fmt: skip


# Name, colour, query, text. A minute's changes: Grafana asks for them minute by minute.
ANNOTATIONS = (
    (
        "Reloads",
        "blue",
        f"sum by (instance) (changes(trivet_route_revision{{{SERVED}}}[1m])) > 0",
        "routes of {{instance}} changed",
    ),
    (
        "Engine restarts",
        "red",
        f"sum by (instance, backend) (changes(trivet_engine_restarts_total{{{SERVED}}}[1m])) > 0",
        "engine {{backend}} of {{instance}} was started again",
    ),
    (
        "Rollouts",
        "purple",
        f"max by (route) (changes(trivet_rollout_revision{{{SERVED}}}[1m])) > 0",
        "the rollout of {{route}} moved",
    ),
)


def _annotation(name: str, colour: str, query: str, text: str) -> Json:
    return {
        "name": name,
        "enable": True,
        "datasource": SOURCE,
        "iconColor": colour,
        "expr": query,
        "step": "60s",
        "titleFormat": name,
        "textFormat": text,
        "useValueForTime": False,
    }


def _source() -> Json:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}


def _variable(variable: Labels | Choice) -> Json:
    if isinstance(variable, Choice):
        first = variable.values[0]
        options = [{"text": value, "value": value, "selected": value == first} for value in variable.values]
        return {
            "name": variable.name, "label": variable.label, "type": "custom", "query": ",".join(variable.values),
            "current": {"text": first, "value": first}, "options": options, "includeAll": False, "multi": False,
        }  # fmt: skip
    return {
        "name": variable.name, "label": variable.label, "type": "query", "datasource": SOURCE, "query": variable.query,
        "refresh": 2, "sort": 1, "includeAll": True, "multi": True, "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }  # fmt: skip


def _laid_out(rows: Sequence[Row]) -> list[Json]:
    """Panels from left to right, on the next line where one is full."""
    placed: list[Json] = []
    y = 0
    for row in rows:
        placed.append({
            "type": "row", "id": len(placed) + 1, "title": row.title, "collapsed": False, "panels": [],
            "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y},
        })  # fmt: skip
        x, y, height = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, height = 0, y + height, 0
            placed.append(panel.as_json(len(placed) + 1, x, y))
            x, height = x + panel.width, max(height, panel.height)
        y += height
    return placed
