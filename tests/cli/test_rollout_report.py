"""The report: its numbers are the audit log's, the curves end in them, and the page needs nothing else."""

from __future__ import annotations

import asyncio
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.support.gateway.admin_stub import admin_address
from tests.support.rollout_histories import EQUAL, history_of, run, world
from tests.support.rollout_world import ROUTE
from trivet.api.v1 import rollout_pb2
from trivet.cli.main import main
from trivet.cli.rollout.report.history import History, Reading
from trivet.cli.rollout.report.page import page, row
from trivet.cli.rollout.report.plots import Point, Share, Trace, share_plot, trace_plot
from trivet.types.rollout import Arm


async def ended(folder: Path, broken: float) -> History:
    """A rollout that has ended; `broken`: the share of the candidate's answers that break their form."""
    async with world(folder) as gateways:
        await run(gateways, {**EQUAL, Arm.CANDIDATE: broken})
        return await history_of(gateways[0].operations)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Rolled back for broken forms."""
    return asyncio.run(ended(tmp_path_factory.mktemp("broken"), 0.15))


@pytest.fixture(scope="module")
def equal(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Promoted."""
    return asyncio.run(ended(tmp_path_factory.mktemp("equal"), 0.04))


def table_rows(html: str) -> list[list[str]]:
    """The cells of every table row of a page."""
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    return [[unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", row)] for row in rows]


def test_every_decisions_numbers_are_in_the_page_as_the_audit_log_has_them(broken: History) -> None:
    rows = table_rows(page(broken))
    audited = [test for entry in broken.entries for test in entry.tests]
    for test in audited:
        assert list(row(test)) in rows
    crossed = next(test for test in audited if test.crossed and test.test == "rollback")
    assert crossed.estimate is not None
    assert crossed.low is not None
    told = row(crossed)
    assert told[2] == f"{100 * crossed.stable[2] / crossed.stable[1]:.2f}%"
    assert told[4:8] == (
        f"{100 * crossed.estimate:+.2f}", f"{100 * crossed.low:+.2f} to {100 * (crossed.high or 0):+.2f}",
        f"{crossed.z:.2f}", f"{crossed.boundary:.2f}",
    )  # fmt: skip


def which(one: Reading) -> tuple[int, str, str]:
    return one.step, one.guardrail, one.test


@pytest.mark.process
@pytest.mark.parametrize("which_one", ["broken", "equal"])
def test_judged_again_each_step_ends_in_the_numbers_of_its_decision(
    which_one: str, request: pytest.FixtureRequest
) -> None:
    history: History = request.getfixturevalue(which_one)
    audited = [test for entry in history.entries for test in entry.tests]
    assert len(audited) >= 2 * len(history.rollout.spec.guardrails)
    for test in audited:
        last = next(look for look in history.looks if which(look) == which(test) and look.at == test.at)
        assert (last.z, last.boundary, last.estimate, last.low, last.high) == (
            test.z, test.boundary, test.estimate, test.low, test.high,
        )  # fmt: skip
        assert (list(last.stable), list(last.candidate)) == (list(test.stable), list(test.candidate))


def test_a_plot_has_about_a_hundred_looks_of_a_long_step(equal: History) -> None:
    of_last_step = [look for look in equal.looks if which(look) == (2, "format", "rollback")]
    assert 20 < len(of_last_step) < 120
    assert [look.at for look in of_last_step] == sorted(look.at for look in of_last_step)


def test_the_page_says_the_verdict_and_every_reason(broken: History) -> None:
    html = unescape(page(broken))
    assert re.search(r'<strong class="failed">Rolled back after [0-9.]+ (s|min)\.</strong>', html)
    for entry in broken.entries:
        assert entry.transition.message in html
        assert f"by {entry.transition.actor}" in html
    assert "gateway-b (gateway-b:1)" in html
    assert "<h2>Requests that do not count</h2>" in html


def test_the_page_needs_nothing_from_elsewhere(broken: History) -> None:
    html = page(broken)
    assert "<script" not in html
    assert re.findall(r"(?:src|href)=", html) == []
    assert re.findall(r"url\(|@import", html) == []
    assert set(re.findall(r"https?://[^\"' ]+", html)) == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in html
    for picture in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ET.fromstring(picture)


def test_what_others_wrote_is_text_in_the_page(broken: History) -> None:
    entry = broken.entries[-1]
    hostile = rollout_pb2.RolloutTransition()
    hostile.CopyFrom(entry.transition)
    hostile.message = hostile.actor = hostile.reason = "<script>alert(1)</script>"
    html = page(replace(broken, entries=[*broken.entries[:-1], replace(entry, transition=hostile)]))
    assert "<script" not in html


def test_without_observations_the_audit_log_alone_is_drawn(broken: History) -> None:
    html = page(replace(broken, looks=()))
    drawn = {(test.guardrail, test.test) for entry in broken.entries for test in entry.tests}
    assert html.count("<svg") == len(drawn) + 1
    bare = replace(broken, looks=(), entries=())
    assert "No decision rests on data yet" in page(bare)


def points(svg: str, kind: str) -> list[list[tuple[float, float]]]:
    found = re.findall(rf'class="{kind}" points="([^"]*)"', svg)
    return [[(float(x), float(y)) for x, y in (pair.split(",") for pair in one.split())] for one in found]


def test_a_share_is_drawn_in_steps() -> None:
    svg = share_plot([Share(0, 0.0), Share(50, 0.5), Share(75, 1.0)], end=100)
    (line,) = points(svg, "trace")
    (left, _), (right, _) = line[0], line[-1]
    assert [round((x - left) / (right - left), 3) for x, _ in line] == [0, 0.5, 0.5, 0.75, 0.75, 1]
    bottom, top = line[0][1], line[-1][1]
    assert [round((bottom - y) / (bottom - top), 3) for _, y in line] == [0, 0, 0.5, 0.5, 1, 1]


def test_each_step_has_a_line_and_a_band_of_its_own_inside_the_picture() -> None:
    first = Trace(0, [Point(float(at), 1.0, -1e9 if at < 3 else -1.0, 1e9 if at < 3 else 3.0) for at in range(1, 21)])
    second = Trace(1, [Point(float(at), 2.0, 1.0, 3.0) for at in range(21, 41)])
    svg = trace_plot([first, second], end=40, line=0.0, unit="points", title="x")
    assert [len(line) for line in points(svg, "trace")] == [20, 20]
    bands = points(svg, "band")
    assert [len(band) for band in bands] == [40, 40]
    assert all(0 <= y <= 210 and 0 <= x <= 460 for band in bands for x, y in band)
    ET.fromstring(svg)


@pytest.mark.process
async def test_the_command_reads_all_of_it_over_the_admin_calls(tmp_path: Path) -> None:
    async with world(tmp_path) as gateways:
        await run(gateways, {**EQUAL, Arm.CANDIDATE: 0.4})
        async with admin_address(rollouts=gateways[0].operations) as address:

            def command(*arguments: str) -> Result:
                environment = {"TRIVET_ADMIN_ADDRESS": address}
                return CliRunner(env=environment).invoke(main, ["rollout", "report", ROUTE, *arguments])

            written = await asyncio.to_thread(command, "--html", str(tmp_path / "page.html"))
            assert written.exit_code == 0, written.output
            printed = await asyncio.to_thread(command, "--json")
            other = await asyncio.to_thread(command, "--json", "--id", "nobody")
        known = await history_of(gateways[0].operations)
    assert "Rolled back after" in (tmp_path / "page.html").read_text()
    found = json.loads(printed.stdout)
    assert [one["event"] for one in found["transitions"]] == [entry.transition.event for entry in known.entries]
    assert found["transitions"][-1]["evidence"]["evidence"]["tests"][0]["z"] is not None
    assert len(found["looks"]) == len(known.looks) > 50
    assert other.exit_code == 1
    assert known.rollout.id in other.stderr


def test_a_report_goes_somewhere() -> None:
    result = CliRunner().invoke(main, ["rollout", "report", ROUTE])
    assert result.exit_code == 2
    assert "expected --html FILE, --json, or both" in result.stderr
