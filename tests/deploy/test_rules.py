"""Recording rules and alerts: Prometheus' own checks, and for each alert a test and a runbook."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.prometheus.__main__ import TARGET, rendered
from tests.support.monitoring.queries import RULES, of_rules
from tests.support.pages.markdown_pages import ROOT, Page
from tests.support.prometheus import binaries, promtool

FOLDER = ROOT / "deploy" / "prometheus"
TESTS = sorted((FOLDER / "tests").glob("*.yml"))
ALERTS = {rule.panel["alert"]: rule.panel for rule in of_rules() if "alert" in rule.panel}
RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))


def expectations() -> dict[str, list[bool]]:
    """By alert: whether it fires, at the times that its test looks at, in order."""
    found: dict[str, list[bool]] = {}
    for path in TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for looked in test["promql_expr_test"]:
                alert = re.search(r'alertname="(\w+)"', looked["expr"])
                assert alert
                found.setdefault(alert[1], []).append(bool(looked["exp_samples"]))
    return found


@pytest.mark.process
def test_prometheus_reads_the_rules() -> None:
    done = promtool("check", "rules", *RULES)
    assert done.returncode == 0, done.stderr


@pytest.mark.process
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_and_resolve(path: Path) -> None:
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tested_before_while_and_after_it_fires() -> None:
    assert len(ALERTS) >= 20
    for name, told in expectations().items():
        assert told == [False, True, False] * (len(told) // 3), name
    assert set(expectations()) == set(ALERTS)


def test_each_alert_has_a_severity_that_is_routed_and_says_what_is_wrong() -> None:
    routed = {"page", "ticket", "info"}
    for name, alert in ALERTS.items():
        assert alert["labels"]["severity"] in routed, name
        assert set(alert["annotations"]) == {"summary", "description", "runbook"}, name


def test_each_alert_has_a_runbook_and_each_runbook_its_alert() -> None:
    told = {}
    for path in RUNBOOKS:
        page = Page(path)
        for name in [heading for heading in page.headings if heading.startswith("Trivet")]:
            told[name] = f"docs/runbooks/{path.name}#{name.lower()}"
            assert name.lower() in page.anchors
    assert told == {name: alert["annotations"]["runbook"] for name, alert in ALERTS.items()}


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_says_what_it_means_where_to_look_and_what_to_do(path: Path) -> None:
    for entry in re.split(r"^## ", path.read_text(), flags=re.MULTILINE)[1:]:
        assert re.findall(r"^\*\*(.+?)\*\*", entry, re.MULTILINE)[:3] == ["What it means.", "Look first.", "Then."], (
            entry
        )


def test_the_operators_rules_are_the_same() -> None:
    """`python -m deploy.prometheus` writes them."""
    assert TARGET.read_text() == rendered()


@pytest.mark.process
@pytest.mark.parametrize("config", ["deploy/prometheus/prometheus.yml", "deploy/compose/prometheus.yml"])
def test_prometheus_reads_its_configuration(config: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = yaml.safe_load((ROOT / config).read_text())
    assert settings["rule_files"] == ["rules/*.yml"]
    (tmp_path / "rules").symlink_to(FOLDER / "rules")  # as compose.yaml mounts them
    (tmp_path / "prometheus.yml").write_text((ROOT / config).read_text())
    done = promtool("check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stderr
    assert "2 rule files found" in done.stdout
    assert settings["scrape_configs"][0]["job_name"] == "trivet"  # TrivetDown looks for it


@pytest.mark.process
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [("severity=page", "pages"), ("severity=ticket", "tickets"), ("severity=info", "notes")],
)
def test_alertmanager_routes_by_severity(labels: str, receiver: str) -> None:
    config = f"--config.file={FOLDER / 'alertmanager.yml'}"
    command: list[str | Path] = [binaries() / "amtool", "config", "routes", "test", config, labels]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, receiver), done.stderr
