"""The report: its numbers are the audit log's, the curves end in them, and the page needs nothing else."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html import unescape

import pytest

from tests.support.rollout_histories import history
from trivet.api.v1 import rollout_pb2
from trivet.cli.rollout.report.history import History, Reading
from trivet.cli.rollout.report.page import page, row
from trivet.cli.rollout.report.plots import Point, Share, Trace, share_plot, trace_plot


@pytest.fixture(scope="module")
def broken() -> History:
    """Rolled back in the last step for broken forms."""
    return history(bad=0.3, count=3000)


def table_rows(html: str) -> list[list[str]]:
    """The cells of every table row of a page."""
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    return [[unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", row)] for row in rows]


def test_every_decisions_numbers_are_in_the_page_as_the_audit_log_has_them(broken: History) -> None:
    rows = table_rows(page(broken))
    audited = [test for entry in broken.entries for test in entry.tests]
    assert len(audited) >= 3 * len(broken.rollout.spec.guardrails)
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


def test_judged_again_each_step_ends_in_the_numbers_of_its_decision(broken: History) -> None:
    audited = [test for entry in broken.entries for test in entry.tests]
    for test in audited:
        same = [
            look
            for look in broken.looks
            if (look.step, look.guardrail, look.test) == (test.step, test.guardrail, test.test)
        ]
        last = same[-1]
        assert (last.z, last.boundary, last.estimate) == (test.z, test.boundary, test.estimate)
        assert (list(last.stable), list(last.candidate)) == (list(test.stable), list(test.candidate))
        assert 50 < len(same) < 250


def test_the_page_says_the_verdict_and_every_reason(broken: History) -> None:
    html = unescape(page(broken))
    assert '<strong class="failed">Rolled back after 15.3 min.</strong>' in html
    for entry in broken.entries:
        assert entry.transition.message in html
        assert f"by {entry.transition.actor}" in html
    assert "gateway-b (10.0.0.2:7601)" in html
    assert "not warm: loading ticket-sorter@2" in html
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
