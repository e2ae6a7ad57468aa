"""`trivet cost` over a data folder, without a server."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.support.request_logs import receipt, write_log
from trivet.cli.main import main
from trivet.types.receipt import Cost


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    receipts = [
        receipt(number, tenant=f"t{number % 2}", labels={"team": "=1+1"}, cost=Cost(input=10**number))
        for number in range(5)
    ]
    return write_log(tmp_path / "receipts.jsonl", *receipts, receipt(9, code="CANCELLED", cost=Cost()))


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["cost", "--data-dir", str(folder), *arguments])


def test_a_table_with_a_sum(folder: Path) -> None:
    lines = run(folder, "--by", "tenant").stdout.splitlines()
    assert [line.split() for line in lines[:5]] == [
        ["tenant", "requests", "failed", "input", "cached", "output", "USD", "USD/request"],
        ["t0", "3", "0", "300", "180", "21", "0.000010101", "0.000003367"],
        ["t1", "2", "0", "200", "120", "14", "0.00000101", "0.000000505"],
        ["acme", "1", "0", "100", "60", "7", "-", "-"],
        ["total", "6", "0", "600", "360", "42", "0.000011111", "0.000002222"],
    ]
    assert lines[-1] == "1 of 6 requests have no cost: no price, or not begun."


def test_json_is_exact_and_tells_of_damaged_lines(folder: Path) -> None:
    with (folder / "receipts.jsonl").open("ab") as log:
        log.write(b'{"request_id": "torn')
    data = json.loads(run(folder, "--by", "tenant,route", "--json").stdout)
    assert data["total"]["cost"] == {"input": 11111, "total": 11111}
    assert sum(group.get("cost", {"total": 0})["total"] for group in data["groups"]) == 11111
    assert data["groups"][0]["group"] == {"tenant": "t0", "route": "support"}
    assert "cost" not in data["groups"][2]
    assert data["log"] == {"files": 1, "lines": 7, "damaged_lines": 1, "outside_of_the_time": 0, "statements": 0}
    assert "1 damaged lines" in run(folder).stderr


def test_csv_holds_no_formula(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run(folder, "--by", "label:team", "--csv").stdout)))
    assert [row["label:team"] for row in rows] == ["'=1+1", "-"]
    assert (rows[0]["total_nano_usd"], rows[0]["usd"], rows[1]["usd"]) == ("11111", "0.000011111", "")


def test_focus_has_a_row_for_each_day_and_component(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run(folder, "--focus", "--account", "me").stdout)))
    assert [(row["SubAccountId"], row["BilledCost"], row["BillingAccountId"]) for row in rows] == [
        ("t0", "0.000010101", "me"),
        ("t1", "0.00000101", "me"),
    ]


def test_the_page_needs_nothing_else_and_shows_the_table(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "costs.html"
    assert run(folder, "--by", "day,tenant", "--html", str(page)).exit_code == 0
    html = page.read_text()
    assert "src=" not in html
    assert "0.000011111 USD" in html
    plot = ET.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])
    assert len(plot.findall(".//{*}rect")) == 1 + 2  # the component's colour, and a bar for each that cost something


def test_a_time_may_be_a_date_a_time_or_so_long_ago(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    times = [datetime(2020, 1, 1, 12, tzinfo=UTC), now - timedelta(hours=30), now]
    write_log(tmp_path / "receipts.jsonl", *(receipt(created_at=at) for at in times))
    for options, requests in (
        (["--since", "24h"], 1),
        (["--since", "2d"], 2),
        (["--since", "2020-01-01"], 3),
        (["--since", "2020-01-01T12:01"], 2),
        (["--since", "2019-12-31", "--until", "2020-01-01T13:30+01:00"], 1),
    ):
        assert json.loads(run(tmp_path, *options, "--json").stdout)["total"]["requests"] == requests, options


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--by", "colour"], "no dimension 'colour'"),
        (["--by", ","], "expected 1 to 6 names"),
        (["--json", "--csv"], "expected one of"),
        (["--focus", "--by", "route"], "groups of its own"),
        (["--since", "yesterday"], "is no time"),
        (["--since", "2026-12-01", "--until", "2026-11-01"], "not before"),
    ],
)
def test_wrong_usage_is_told(folder: Path, arguments: list[str], told: str) -> None:
    result = run(folder, *arguments)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())


def test_a_folder_without_a_log_is_told(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "receipts.jsonl: no request log" in result.stderr
