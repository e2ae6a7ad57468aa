"""Advice as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from trivet.advice import wording
from trivet.advice.comparison import Comparisons
from trivet.advice.evidence import Evidence
from trivet.advice.result import Advice
from trivet.evaluation.plots import Mark, dot_plot
from trivet.html_page import html_page, html_table

_STYLE = """
svg .whisker { stroke: var(--soft); stroke-width: 2; } svg .dot { fill: var(--soft); }
svg .whisker.strong { stroke: var(--accent); } svg .dot.strong { fill: var(--accent); }
svg .name.strong { font-weight: 600; } .wide td { white-space: normal; text-align: left; vertical-align: top; }
"""


def page(name: str, evidence: Evidence, advice: Advice) -> str:
    """The whole page about a route or suite of this name."""
    return html_page(f"{name}: advice", "\n".join(_body(name, evidence, advice)), _STYLE)


def _body(name: str, evidence: Evidence, advice: Advice) -> Iterator[str]:
    yield f"<h1>{escape(name)}</h1>"
    yield f'<p class="lead">{escape(wording.headline(advice))}</p>'
    yield "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in wording.lines(advice)) + "</ul>"
    yield "<h2>How it was decided</h2>"
    yield html_table(*wording.steps(advice))
    yield "<h2>Answers that are right</h2>"
    yield dot_plot(list(_marks(evidence, advice)), unit="% right", span=(0, 100), line=100 * evidence.wishes.target)
    if turns := wording.turns(advice):
        yield "<h2>What would change it</h2><ul>"
        yield "".join(f"<li>{escape(turn)}</li>" for turn in turns) + "</ul>"
    yield (
        '<p class="soft">Intervals are widened (Bonferroni) so that all of them hold at once with 95%: Wilson\'s for '
        "shares, Agresti and Min's for differences of paired answers. Amounts a month are a request's mean cost in the "
        "evaluation times the requests.</p>"
    )


def _marks(evidence: Evidence, advice: Advice) -> Iterator[Mark]:
    comparisons = Comparisons(evidence)
    for arm in evidence.asked:
        share = comparisons.share(arm)
        strong = arm.name in {advice.arm, advice.current}
        yield Mark(arm.name, 100 * share.value, 100 * share.low, 100 * share.high, str(share), strong)
