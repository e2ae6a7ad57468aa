"""docs/metrics.md has every metric that the registry exports, with its type and labels, and no other."""

from __future__ import annotations

import re

from tests.support.monitoring.exported import exported
from tests.support.pages.markdown_pages import ROOT, Page

PAGE = Page(ROOT / "docs" / "metrics.md")


def documented() -> dict[str, tuple[str, set[str]]]:
    """The same out of the tables of the page."""
    rows = [cells for _, cells in PAGE.rows() if len(cells) == 4 and cells[0].startswith("`trivet_")]
    return {cells[0].strip("`"): (cells[1], set(re.findall(r"`(\w+)`", cells[2]))) for cells in rows}


def test_the_page_has_every_metric() -> None:
    assert documented() == exported()


def test_every_metric_of_an_example_exists() -> None:
    names = set(re.findall(r"trivet_\w+", PAGE.path.read_text()))
    histograms = {f"{name}_bucket" for name, (kind, _) in exported().items() if kind == "histogram"}
    assert names - set(exported()) - histograms - {"trivet_"} == set()
