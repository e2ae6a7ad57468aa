"""A report in words and cells: what the table, the page and the demo show."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from trivet.evaluation.report import CORRECT, ArmReport, Comparison, Estimate, PartReport

Cell = Callable[[Estimate], str]


def share(estimate: Estimate) -> str:
    """A share in percent, with its interval where it has one."""
    if estimate.value is None:
        return "–"
    if estimate.interval is None:
        return f"{100 * estimate.value:.1f}"
    return f"{100 * estimate.value:.1f} [{100 * estimate.interval.low:.0f}, {100 * estimate.interval.high:.0f}]"


def share_alone(estimate: Estimate) -> str:
    """A share in percent."""
    return "–" if estimate.value is None else f"{100 * estimate.value:.1f}"


def amount(estimate: Estimate) -> str:
    """Milliseconds or tokens."""
    return (
        "–" if estimate.value is None else f"{estimate.value:.0f}" if estimate.value >= 10 else f"{estimate.value:.1f}"
    )


def micro_dollars(estimate: Estimate) -> str:
    """Nano-USD as micro-USD."""
    return "–" if estimate.value is None else f"{estimate.value / 1000:.3g}"


def micro_dollars_between(estimate: Estimate) -> str:
    """The same with its interval."""
    if estimate.value is None or estimate.interval is None:
        return micro_dollars(estimate)
    low, high = estimate.interval.low / 1000, estimate.interval.high / 1000
    return f"{estimate.value / 1000:.3g} [{low:.3g}, {high:.3g}]"


QUALITY_COLUMNS: Mapping[str, tuple[str, Cell]] = {
    CORRECT: ("correct %", share),
    "exact_match": ("exact", share_alone),
    "token_f1": ("F1", share_alone),
    "says_unknown": ("unknown", share_alone),
    "label_accuracy": ("label", share_alone),
    "format_valid": ("format", share_alone),
    "cited_right": ("cited", share_alone),
    "canary_absent": ("no canary", share_alone),
}
COST_COLUMNS: Mapping[str, tuple[str, Cell]] = {
    "ttft_ms": ("ttft ms", amount),
    "ttft_p95_ms": ("p95", amount),
    "input_tokens": ("in", amount),
    "cached_tokens": ("cached", amount),
    "output_tokens": ("out", amount),
    "cost": ("µ$", micro_dollars),
    "cost_per_correct": ("µ$/correct", micro_dollars_between),
}


def columns(part: PartReport, candidates: Mapping[str, tuple[str, Cell]]) -> list[str]:
    """Those of the candidates in which any arm has a value. The general part has no form unless it is judged."""
    asked = [arm for arm in part.arms if not arm.refused]
    left_out = {"format_valid"} - set(part.correct) if part.name == "general" else set()
    present = (name for name in candidates if name not in left_out)
    return [name for name in present if any(arm.estimates[name].value is not None for arm in asked)]


def cells(part: PartReport, candidates: Mapping[str, tuple[str, Cell]]) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of one table: the arm, then its estimates."""
    names = columns(part, candidates)
    rows = [
        [arm.name, *(candidates[name][1](arm.estimates[name]) for name in names)]
        for arm in part.arms
        if not arm.refused
    ]
    return ["arm", *(candidates[name][0] for name in names)], rows


def comparisons(part: PartReport) -> tuple[list[str], list[list[str]]]:
    """Headers and rows: each arm against the part's baseline."""
    headers = ["arm", "points", "gained", "lost", "p", "Holm"]
    return headers, [
        [arm.name, points(arm.comparison), str(arm.comparison.gained), str(arm.comparison.lost),
         p_value(arm.comparison.p_value), p_value(arm.comparison.p_adjusted)]
        for arm in part.arms if arm.comparison is not None
    ]  # fmt: skip


def points(comparison: Comparison) -> str:
    """A difference of shares in percentage points, with its interval."""
    difference = comparison.difference
    value = 0.0 if difference.value is None else 100 * difference.value
    if difference.interval is None:
        return f"{value:+.1f}"
    return f"{value:+.1f} [{100 * difference.interval.low:+.1f}, {100 * difference.interval.high:+.1f}]"


def p_value(value: float) -> str:
    """To two digits; very small ones as a bound."""
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}"


def remarks(part: PartReport) -> list[str]:
    """What a reader has to know beside the numbers."""
    found = [f"{arm.name}: not asked, {arm.refused}" for arm in part.arms if arm.refused]
    found += [f"{arm.name}: {arm.failed} requests failed (counted as wrong)" for arm in part.arms if arm.failed]
    found += [f"{arm.name}: {arm.degraded} answers were degraded" for arm in part.arms if arm.degraded]
    if part.chance:
        uniform, commonest = 100 * part.chance["uniform"], 100 * part.chance["commonest"]
        found.append(f"by chance: a random label is right in {uniform:.1f}%, always the commonest in {commonest:.1f}%")
    return found


def sentence(part: PartReport) -> str:
    """What the part means, in one sentence."""
    asked = [arm for arm in part.arms if not arm.refused]
    best = max(asked, key=lambda arm: _value(arm, CORRECT))
    right = f"{best.name} answers {share(best.estimates[CORRECT])}% right (n = {part.n})"
    if best.comparison is None:
        others = [arm for arm in asked if arm.comparison is not None]
        if not others:
            return f"{right}."
        second = max(others, key=lambda arm: _value(arm, CORRECT))
        assert second.comparison is not None
        away = f"the next best, {second.name}, is {points(second.comparison)} points from it"
        return f"No arm beats the baseline: {right}; {away}."
    interval = best.comparison.difference.interval
    sure = interval is not None and interval.low > 0
    against = f"{points(best.comparison)} points against {part.baseline}"
    cost = best.estimates["cost_per_correct"]
    price = "" if cost.value is None else f", at {micro_dollars(cost)} millionths of a dollar per correct answer"
    return f"{right}, {against}{'' if sure else ' (which may be chance)'}{price}."


def standing(part: PartReport, rivals: Collection[str]) -> str:
    """Whether the arm that the others are compared with wins, loses, or neither can be told: one plain sentence.

    It wins if it beats each of the rivals (those that were asked) with an interval that lies above zero. Asking it of
    each, and not of the best alone, needs no correction for having looked at several: all of them have to hold.
    """
    own = part.arm(part.baseline)
    against = {
        arm.name: arm.comparison.difference
        for arm in part.arms
        if arm.name in rivals and arm.comparison is not None and arm.comparison.difference.value is not None
    }
    if not against:
        return f"Nothing can be said of {own.name}: it was compared with nothing."
    best = max(against, key=lambda name: against[name].value or 0.0)
    has = f"it has {share_alone(own.estimates[CORRECT])}% right (n = {part.n})"
    other = f"{best} has {share_alone(part.arm(best).estimates[CORRECT])}%"
    if (against[best].value or 0.0) > 0:
        return f"{own.name} does not win: {has}, and {other}; the difference is {_ahead(against[best])}."
    unsure = [name for name, found in against.items() if found.interval is None or found.interval.high >= 0]
    if not unsure:
        return f"{own.name} wins: {has}, and the best other arm, {other}; the difference is {_ahead(against[best])}."
    told = ", ".join(f"{name} ({_ahead(against[name])})" for name in unsure)
    rest = len(against) - len(unsure)
    others = f"; over the other {rest} it is above zero" if rest else ""
    return f"{own.name} is not shown to win: {has}, and its lead may be chance over {told}{others}."


def _ahead(behind: Estimate) -> str:
    """How far the arm that is compared with is ahead, in points: the difference seen from its side."""
    value, interval = 0.0 - 100 * (behind.value or 0.0), behind.interval
    if interval is None:
        return f"{value:+.1f} points"
    low, high = 0.0 - 100 * interval.high, 0.0 - 100 * interval.low
    where = "above zero" if low > 0 else "below zero" if high < 0 else "around zero"
    return f"{value:+.1f} points, 95% interval [{low:+.1f}, {high:+.1f}], {where}"


def _value(arm: ArmReport, name: str) -> float:
    value = arm.estimates[name].value
    return -1.0 if value is None else value
