"""The report as one HTML page: shares over time, each guardrail's confidence sequence, decisions with their reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from trivet.cli.rollout.report.history import Entry, History, Reading
from trivet.cli.rollout.report.plots import Point, Share, Trace, share_plot, trace_plot
from trivet.cli.rollout.wording import (
    ENDED,
    GATEWAY_COLUMNS,
    PAIRED,
    gateway_rows,
    moment,
    percent,
    seconds,
    state_name,
)
from trivet.html_page import html_page, html_table

_STYLE = """
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.5rem 2rem; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 0; } h3 + p { margin: 0 0 .4rem; }
.card h4 { font-size: .95rem; margin: .4rem 0 0; } .card p { margin: .2rem 0 .4rem; }
svg { display: block; } svg .trace { fill: none; stroke: var(--accent); stroke-width: 2; }
svg .band { fill: var(--accent); fill-opacity: .18; } svg .dot { fill: var(--accent); }
svg .whisker { stroke: var(--accent); stroke-width: 2; } svg .limit { stroke: var(--bad); stroke-dasharray: 5 3; }
svg .change { stroke: var(--soft); stroke-dasharray: 2 3; }
ol.decisions { padding-left: 0; list-style: none; }
ol.decisions li { border-top: 1px solid var(--rule); padding: .6rem 0; }
ol.decisions p { margin: .1rem 0; overflow-wrap: anywhere; } summary { cursor: pointer; color: var(--accent); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { color: var(--soft); } dd { margin: 0; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
"""
_COLUMNS = ("guardrail", "test", "stable", "candidate", "beyond", "interval", "z", "boundary", "units", "found")
_WORSE = {
    "error": "Requests that failed or timed out.", "ttft": "Requests whose first token came late.",
    "total": "Requests that took long.", "cost": "Cost of a request, as a part of the cap.",
    "format": "Answers that break the form.", "degraded": "Answers without their passages.",
    "cancelled": "Requests that their users left.", "feedback": "What raters found wanting.",
    "feedback_response": "Requests that somebody rated.", "shadow_agreement": "Copies that differ from the answer.",
}  # fmt: skip
_TESTS = {
    "agreement": "Copies before the first step: rolled back where the whole band is above the line.",
    "paired": "Copies less their originals, before the first step: rolled back where the whole band is above the line.",
    "smoke": "Rolled back where the evidence reaches the line.",
    "rollback": "Rolled back where the whole band is above the line.",
    "promotion": "Within its margin where the whole band is below the line.",
    "soak": "Against the stable variant's last step: rolled back where the whole band is above the line.",
}


def page(history: History) -> str:
    """The whole page."""
    return html_page(f"{history.rollout.route}: rollout", "\n".join(_body(history)), _STYLE)


def _body(history: History) -> Iterator[str]:
    rollout = history.rollout
    yield f"<h1>{escape(f'{rollout.route}: {rollout.spec.stable} to {rollout.spec.candidate}')}</h1>"
    yield (
        f'<p class="soft">Made {moment(rollout.created_at)}, rollout {escape(rollout.id)}, '
        f"spec {escape(rollout.spec_digest[:12])}.</p>"
    )
    yield from _lead(history)
    yield "<h2>Share of the units</h2>"
    yield share_plot(list(_shares(history)), end=history.end - history.begun)
    yield from _guardrails(history)
    yield "<h2>Decisions</h2>"
    yield '<ol class="decisions">'
    for entry in reversed(history.entries):
        yield from _decision(entry, history.begun, len(rollout.spec.steps))
    yield "</ol>"
    yield from _left_out(history)
    yield "<h2>Gateways</h2>"
    yield html_table(GATEWAY_COLUMNS, list(gateway_rows(rollout)))
    yield "<h2>What was asked for</h2>"
    yield from _spec(history)


def _guardrails(history: History) -> Iterator[str]:
    yield "<h2>Guardrails</h2>"
    yield (
        '<p class="soft">Each is a rate of what is worse, judged by unit. Lines: how far the candidate is beyond what '
        "it may be; bands hold however often one looks. Every step begins anew.</p>"
    )
    if not history.looks and not any(entry.tests for entry in history.entries):
        yield "<p>No decision rests on data yet.</p>"
        return
    for guardrail in history.rollout.spec.guardrails:
        yield f"<h3>{escape(guardrail.guardrail)}</h3>"
        yield f'<p class="soft">{escape(_WORSE.get(guardrail.guardrail, ""))}</p><div class="cards">'
        yield from _cards(history, guardrail.guardrail)
        yield "</div>"


def _lead(history: History) -> Iterator[str]:
    rollout = history.rollout
    kind = {"promoted": "passed", "rolled back": "failed"}.get(state_name(rollout), "")
    lasted = seconds(history.end - history.begun)
    said = (
        f"{state_name(rollout).capitalize()} after {lasted}" if rollout.state in ENDED else f"Now {state_name(rollout)}"
    )
    yield (
        f'<p class="lead"><strong class="{kind}">{escape(said)}.</strong> '
        f"{escape(rollout.spec.candidate)} has {percent(rollout.share)} of the units.</p>"
    )
    why = (
        rollout.look.message
        if rollout.HasField("look") and rollout.state not in ENDED
        else rollout.last_transition.message
    )
    if why:
        yield f"<p>{escape(why)}</p>"


def _shares(history: History) -> Iterator[Share]:
    before: float | None = None
    for entry in history.entries:
        if entry.transition.share != before:
            yield Share(entry.at - history.begun, entry.transition.share)
        before = entry.transition.share


def _cards(history: History, guardrail: str) -> Iterator[str]:
    for test, said in _TESTS.items():
        tested = history.tests(guardrail, test)
        if not tested:
            continue
        last = tested[-1]
        yield f'<div class="card"><h4>{escape(test.capitalize())}</h4><p class="soft">{escape(said)}</p>'
        smoke = test == "smoke"
        traces = [Trace(step, [_point(one, history.begun, smoke) for one in group]) for step, group in _by_step(tested)]
        line = (last.boundary or 0.0) if smoke else 0.0
        unit = "logarithm of the evidence" if smoke else "points beyond what it may be"
        yield trace_plot(
            traces, end=history.end - history.begun, line=line, unit=unit, title=f"{guardrail}, {test}, over time"
        )
        yield f"<p>{escape(_numbers(last))}</p></div>"


def _by_step(tested: Sequence[Reading]) -> Iterator[tuple[int, list[Reading]]]:
    for step, group in groupby(tested, key=lambda one: one.step):
        known = [one for one in group if (one.z if one.test == "smoke" else one.estimate) is not None]
        if known:
            yield step, known


def _point(one: Reading, begun: float, smoke: bool) -> Point:
    if smoke:
        return Point(one.at - begun, one.z or 0.0)
    return Point(
        one.at - begun,
        100 * (one.estimate or 0.0),
        None if one.low is None else 100 * one.low,
        None if one.high is None else 100 * one.high,
    )


def _numbers(one: Reading) -> str:
    """The last look in words, with the numbers of the audit log where it has them."""
    _, _, stable, candidate, beyond, bounds, z, boundary, units, found = row(one)
    if one.test in PAIRED:
        rates = f"{one.candidate[1]:,.0f} pairs of {one.candidate[0]:,.0f} units, {candidate or 'unknown'}."
    else:
        rates = f"Stable {stable or 'unknown'}, candidate {candidate or 'unknown'}, units {units}."
    if one.test == "smoke":
        return f"{rates} Evidence {z} of {boundary}: {found}."
    by = f"Beyond by {beyond or 'unknown'} ({bounds or 'no interval yet'})"
    return f"{rates} {by}; z {z or 'without a bound'}, boundary {boundary or 'unknown'}: {found}."


def row(one: Reading) -> tuple[str, ...]:
    """A test's numbers as they are written, as the columns of a decision's table. Rates and differences in percent."""

    def number(value: float | None, form: str = ".2f") -> str:
        return "" if value is None else format(value, form)

    def rate(sums: Sequence[float]) -> str:
        return f"{100 * sums[2] / sums[1]:.2f}%" if sums[1] else ""

    bounds = "" if one.low is None or one.high is None else f"{100 * one.low:+.2f} to {100 * one.high:+.2f}"
    beyond = "" if one.estimate is None else f"{100 * one.estimate:+.2f}"
    candidate = rate(one.candidate)
    if one.test == "paired":
        candidate = f"{100 * one.candidate[2] / one.candidate[1]:+.2f}" if one.candidate[1] else ""
    return (
        one.guardrail, one.test, rate(one.stable), candidate, beyond, bounds, number(one.z),
        number(one.boundary), f"{one.stable[0]:,.0f} / {one.candidate[0]:,.0f}", _found(one),
    )  # fmt: skip


def _found(one: Reading) -> str:
    if not (one.stable[1] or one.candidate[1]):
        return "no data yet"
    if one.test == "promotion":
        return "proven" if one.crossed else "not proven"
    return "crossed" if one.crossed else "holds"


def _decision(entry: Entry, begun: float, steps: int) -> Iterator[str]:
    one = entry.transition
    event = one.event.replace("_", " ")
    yield (
        f"<li><p><strong>{escape(event)}</strong> at {percent(one.share)}, {_step(one.to_step, steps)}, "
        f"{escape(seconds(entry.at - begun))} after it was made, by {escape(one.actor)} "
        f'<span class="soft">({escape(one.reason.replace("_", " "))}, revision {one.revision}, '
        f"{moment(one.at)})</span></p>"
    )
    if one.message:
        yield f"<p>{escape(one.message)}</p>"
    if entry.tests:
        table = html_table(_COLUMNS, [row(test) for test in entry.tests])
        yield f"<details><summary>what it rested on</summary>{table}</details>"
    yield "</li>"


def _step(step: int, steps: int) -> str:
    if step < 0:
        return "before the first step"
    return f"step {step + 1} of {steps}" if step < steps else "after the last step"


def _left_out(history: History) -> Iterator[str]:
    counts = [(entry, entry.evidence["exclusions"]) for entry in history.entries if entry.evidence.get("exclusions")]
    if not counts:
        return
    reasons = sorted({reason for _, exclusions in counts for reason in exclusions})
    yield "<h2>Requests that do not count</h2>"
    yield html_table(
        ("at", "step", *(reason.replace("_", " ") for reason in reasons), "counted"),
        [
            (
                entry.transition.event.replace("_", " "),
                str(entry.evidence.get("step", entry.transition.from_step) + 1),
                *(f"{exclusions.get(reason, 0):,}" for reason in reasons),
                f"{entry.evidence.get('counted', 0):,}",
            )
            for entry, exclusions in counts
        ],
    )


def _spec(history: History) -> Iterator[str]:
    spec = history.rollout.spec
    facts = {
        "stable": f"{spec.stable} ({spec.stable_digest[:12]})",
        "candidate": f"{spec.candidate} ({spec.candidate_digest[:12]})",
        "steps": ", ".join(percent(share) for share in spec.steps),
        "in each step at least": f"{seconds(spec.minimum_seconds)} and {spec.minimum_units:,} units of each arm",
        "in a step at most": seconds(spec.maximum_seconds),
        "soak": seconds(spec.soak_seconds),
        "shadow": (
            f"{seconds(spec.shadow_seconds)}, {percent(spec.shadow_share)} of the units, {spec.shadow_running:,} "
            f"copies at once, up to {percent(spec.shadow_load)} of the load"
            if spec.shadow_seconds
            else "none"
        ),
        "approval": spec.approval.replace("_", " "),
        "false rollbacks at most": percent(spec.alpha),
        "false promotions at most": f"{percent(spec.promotion_alpha)} a guardrail",
    }
    yield (
        "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items()) + "</dl>"
    )
    yield html_table(
        ("guardrail", "tolerance", "margin", "ratio", "needed to promote"),
        [
            (one.guardrail, f"{100 * one.tolerance:g}", f"{100 * one.margin:g}", f"{one.ratio:g}",
             "yes" if one.required else "no")
            for one in spec.guardrails
        ],
    )  # fmt: skip
