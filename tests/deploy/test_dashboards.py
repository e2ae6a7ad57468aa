"""The dashboards: as their source makes them, laid out and described, and asking only for what exists."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from deploy.grafana.boards import BOARDS, FOLDER, rendered
from tests.support.monitoring.exported import exported, of_engine
from tests.support.monitoring.queries import ROOT, RULES, Asked, asked, boards, of_board, of_rules, panels

ALL = boards()
ENGINE_LABELS = {"model_name", "engine", "finished_reason"}
SCRAPE_LABELS = {"job", "instance"}
RECORDED = {str(rule) for rule in of_rules() if "record" in rule.panel}


def named(board: dict[str, Any]) -> str:
    return str(board["uid"])


def test_each_file_is_what_its_source_makes() -> None:
    """`python -m deploy.grafana` writes them."""
    assert {path.name: path.read_text() for path in FOLDER.glob("*")} == {
        f"{board.name}.json": rendered(board) for board in BOARDS
    }


@pytest.mark.parametrize("board", ALL, ids=named)
def test_one_can_choose_source_job_and_gateway(board: dict[str, Any]) -> None:
    source, *others = board["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    assert [variable["name"] for variable in others[:2]] == ["job", "instance"]
    for variable in others:
        assert variable["label"]
        if variable["type"] == "query":
            assert variable["refresh"] == 2  # again when the time changes: there are new ones then
            assert variable["datasource"]["uid"] == "${datasource}"
            assert variable["includeAll"]
            assert variable["multi"]
            assert variable["allValue"] == ".*"
            label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert label
            problems_of(re.sub(r"\$\w+", ".*", label[1]))
            [selector] = asked(re.sub(r"\$\w+", ".*", label[1]))
            assert label[2] in labels_of(selector.metric) | SCRAPE_LABELS


@pytest.mark.parametrize("board", ALL, ids=named)
def test_it_is_linked_to_the_others_and_not_edited_by_hand(board: dict[str, Any]) -> None:
    assert board["editable"] is False
    assert "trivet" in board["tags"]
    [link] = board["links"]
    assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == ("dashboards", ["trivet"], True, True)


@pytest.mark.parametrize("board", ALL, ids=named)
def test_each_panel_says_what_it_shows(board: dict[str, Any]) -> None:
    titles = [panel["title"] for panel in panels(board)]
    assert sorted(set(titles)) == sorted(titles)
    for panel in panels(board):
        assert panel["title"], panel["id"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        assert 0 < len(panel["targets"]) <= 8, panel["title"]
        for target in panel["targets"]:
            assert target["legendFormat"] or panel["type"] in {"stat", "table"}, panel["title"]


@pytest.mark.parametrize("board", ALL, ids=named)
def test_panels_neither_overlap_nor_leave_the_grid(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = set(
            itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))
        )
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("board", ALL, ids=named)
def test_each_query_keeps_to_the_chosen_gateways(board: dict[str, Any]) -> None:
    for query in of_board(board):
        for selector in asked(query.expression):
            assert selector.labels >= SCRAPE_LABELS, query


@pytest.mark.parametrize("board", ALL, ids=named)
def test_each_rate_has_grafanas_own_interval(board: dict[str, Any]) -> None:
    for panel in panels(board):
        for target in panel["targets"]:
            intervals = set(re.findall(r"\[([^\]]+)\]", target["expr"]))
            assert intervals <= {"$__rate_interval", "$__range"}, panel["title"]


@pytest.mark.parametrize("board", ALL, ids=named)
def test_a_legend_names_labels_that_the_query_keeps(board: dict[str, Any]) -> None:
    for panel in panels(board):
        for target in panel["targets"]:
            kept = {label for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in group.split(", ")}
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept, panel["title"]


@pytest.mark.parametrize("board", ALL, ids=named)
def test_each_query_asks_for_metrics_and_labels_that_exist(board: dict[str, Any]) -> None:
    queries = list(of_board(board))
    assert len(queries) > 8
    assert [f"{query}: {problem}" for query in queries for problem in problems_of(query.expression)] == []


def test_each_metric_is_on_a_dashboard() -> None:
    """What nobody looks at is measured for nothing."""
    shown = {known(item.metric)[0] for board in ALL for query in of_board(board) for item in asked(query.expression)}
    assert set(exported()) - shown == set()


def test_each_rule_asks_for_metrics_and_labels_that_exist() -> None:
    assert len(RULES) == 2
    assert [f"{rule}: {problem}" for rule in of_rules() for problem in problems_of(rule.expression)] == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ('trivet_requests_total{job="a"}', "a counter without a rate"),
        ("rate(trivet_requests_in_flight[5m])", "a rate of a gauge"),
        ("rate(trivet_request_total[5m])", "no metric trivet_request_total"),
        ('rate(trivet_requests_total{model="a"}[5m])', "no label model"),
        ("rate(trivet_queue_seconds[5m])", "a histogram without its part"),
        ("vllm:gpu_cache_usage_perc", "no metric vllm:gpu_cache_usage_perc"),
        ("trivet:errors:rate5m", "no metric trivet:errors:rate5m"),
    ],
)
def test_mistakes_are_found(query: str, said: str) -> None:
    assert [problem for problem in problems_of(query) if said in problem], query


def problems_of(expression: str) -> list[str]:
    """What is wrong with a query; ValueError if it is no PromQL."""
    # A series that has just begun is its own increase: `x unless x offset ...`.
    began = set(re.findall(r"\(([a-z_:]+){[^}]*} unless \1", expression))
    began |= set(re.findall(r"([a-z_:]+) unless \1 offset", expression))
    return [
        problem
        for item in asked(expression)
        if (problem := problem_of(item, rated=item.ranged or item.metric in began))
    ]


def problem_of(item: Asked, *, rated: bool) -> str:
    if item.metric.startswith("trivet:"):
        return "" if item.metric in RECORDED else f"no metric {item.metric}"
    if item.metric == "up":
        return ""
    base, kind = known(item.metric)
    if not base:
        return f"no metric {item.metric}"
    if kind == "histogram" and base == item.metric:
        return f"a histogram without its part: {item.metric}"
    unknown = (
        item.labels - labels_of(item.metric) - SCRAPE_LABELS - ({"le"} if item.metric.endswith("_bucket") else set())
    )
    if unknown:
        return f"no label {', '.join(sorted(unknown))} on {item.metric}"
    counts = kind == "counter" or item.metric != base
    if counts and not rated:
        return f"a counter without a rate: {item.metric}"
    if not counts and rated and base not in COUNTING_GAUGES:
        return f"a rate of a gauge: {item.metric}"
    return ""


# Gauges whose changes or extremes over time are asked for.
COUNTING_GAUGES = {
    "trivet_index_repaired_documents", "trivet_index_snapshot_lag",
    "trivet_route_revision", "trivet_rollout_revision",
}  # fmt: skip


def known(metric: str) -> tuple[str, str]:
    """(the metric that this is, or is a part of; its type), or two empty texts."""
    ours = exported()
    part = re.sub(r"_(bucket|count|sum)$", "", metric)
    for name in (metric, part):
        if name in ours and (name == metric or ours[name][0] == "histogram"):
            return name, ours[name][0]
    engine = of_engine()
    if metric in engine:
        return metric, "gauge"
    if part in engine and part != metric:
        return part, "histogram"
    if metric.endswith("_total") and metric.removesuffix("_total") in engine:
        return metric, "counter"
    return "", ""


def labels_of(metric: str) -> set[str]:
    base, _ = known(metric)
    return exported()[base][1] if base.startswith("trivet_") else set(ENGINE_LABELS)


def test_pictures_are_small_and_shown() -> None:
    pictures = sorted((ROOT / "docs" / "pictures").glob("*"))
    readme = (ROOT / "README.md").read_text()
    assert pictures
    for picture in pictures:
        assert picture.read_bytes().startswith(b"\x89PNG"), picture.name
        assert picture.stat().st_size < 150_000, picture.name
        assert f"docs/pictures/{picture.name}" in readme
