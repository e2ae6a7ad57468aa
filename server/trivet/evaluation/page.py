"""A report as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from trivet.evaluation import wording
from trivet.evaluation.gate import Verdict
from trivet.evaluation.plots import Mark, dot_plot, scatter_plot
from trivet.evaluation.report import CORRECT, ArmReport, Estimate, PartReport, Report
from trivet.evaluation.statistics import DRAWS
from trivet.html_page import html_page, html_table

_STYLE = """
svg .whisker { stroke: var(--soft); stroke-width: 2; } svg .dot { fill: var(--soft); }
svg .whisker.strong { stroke: var(--accent); } svg .dot.strong { fill: var(--accent); }
svg .name.strong { font-weight: 600; }
"""


def page(report: Report, verdict: Verdict | None = None) -> str:
    """The whole page."""
    return html_page(f"{report.suite}: evaluation", "\n".join(_body(report, verdict)), _STYLE)


def _body(report: Report, verdict: Verdict | None) -> Iterator[str]:
    main = report.parts[0]
    yield f"<h1>{escape(report.suite)}</h1>"
    yield f'<p class="soft">{escape(report.description)} n = {main.n}, digest {report.digest}</p>'
    yield f'<p class="lead">{escape(wording.sentence(main))}</p>'
    if verdict is not None:
        yield from _verdict(verdict)
    for part in report.parts:
        yield from _part(report, part)
    yield f'<p class="soft">{escape(_method(report))}</p>'


def _verdict(verdict: Verdict) -> Iterator[str]:
    kind, said = ("passed", "passes") if verdict.passed else ("failed", "does not pass")
    yield f'<h2 class="{kind}">{escape(verdict.candidate)} {said} the gate</h2><ul>'
    for check in verdict.checks:
        kind, mark = ("passed", "holds") if check.passed else ("failed", "does not hold")
        yield f'<li class="{kind}">{escape(f"{check.name}: {mark} ({check.found})")}</li>'
    yield f"</ul><p>{escape(verdict.advice)}</p>"


def _part(report: Report, part: PartReport) -> Iterator[str]:
    asked = [arm for arm in part.arms if not arm.refused]
    title = "General questions" if part.name == "general" else "Answers that are right"
    yield f"<h2>{title}</h2>"
    yield f'<p class="soft">Right: all that applies of {escape(", ".join(part.correct))}. n = {part.n}.</p>'
    yield dot_plot([_right(arm, part) for arm in asked], unit="% right", span=(0, 100))
    if any(arm.comparison for arm in asked):
        yield f"<h2>Against {escape(part.baseline)}, on the same questions</h2>"
        bound = -report.general_margin if part.name == "general" else 0.0
        yield dot_plot(list(_differences(asked)), unit="points", span=(-5, 5), line=bound)
        yield html_table(*wording.comparisons(part))
    yield "<h2>What it is made of</h2>"
    yield html_table(*wording.cells(part, wording.QUALITY_COLUMNS))
    yield "<h2>What it takes</h2>"
    priced = [
        (arm.name, cost / 1000, 100 * (right or 0.0), arm.name == part.baseline)
        for arm in asked
        if (cost := arm.estimates["cost"].value) is not None and (right := arm.estimates[CORRECT].value) is not None
    ]
    if priced:
        yield scatter_plot(priced, across="millionths of a dollar per request", up="% right")
    yield html_table(*wording.cells(part, wording.COST_COLUMNS))
    remarks = wording.remarks(part)
    if remarks:
        yield "<ul>" + "".join(f"<li>{escape(remark)}</li>" for remark in remarks) + "</ul>"


def _right(arm: ArmReport, part: PartReport) -> Mark:
    estimate = arm.estimates[CORRECT]
    return _mark(arm.name, estimate, wording.share(estimate), arm.name == part.baseline)


def _differences(arms: Sequence[ArmReport]) -> Iterator[Mark]:
    for arm in arms:
        if arm.comparison is None:
            continue
        difference = arm.comparison.difference
        interval = difference.interval
        sure = interval is not None and (interval.low > 0 or interval.high < 0)
        yield _mark(arm.name, difference, wording.points(arm.comparison), sure)


def _mark(name: str, estimate: Estimate, written: str, strong: bool) -> Mark:
    interval = estimate.interval
    low, high = (None, None) if interval is None else (100 * interval.low, 100 * interval.high)
    return Mark(name, 100 * (estimate.value or 0.0), low, high, written, strong)


def _method(report: Report) -> str:
    return (
        f"Intervals have a level of {100 * report.level:.0f}%: Wilson's for shares, percentile intervals of a paired "
        f"bootstrap of {DRAWS:,} draws over questions for differences and costs. p: McNemar's exact test; Holm: "
        "adjusted for the number of arms. Times and tokens are the server's, from each request's receipt."
    )
