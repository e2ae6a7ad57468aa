"""The tables of the page."""

from __future__ import annotations

from math import comb
from statistics import median

from benchmarks.measuring.tables import table
from benchmarks.overheads.features import Comparison
from benchmarks.overheads.run import Pair

BUSY = "The machine was busy with other work, more than it has cores: look at the ratios, not at the times."
GOALS = (0.03, 0.10)  # of a request's processor time: tracing off, and on
_ENOUGH = 0.025


def section(title: str, rounds: list[list[Pair]], comparisons: tuple[Comparison, ...]) -> list[str]:
    """One part's."""
    rows = []
    for place, one in enumerate(comparisons):
        pairs = [found[place] for found in rounds]
        ratios = sorted(dear / cheap for dear, cheap in pairs)
        low, high = interval(ratios)
        apart = median(1e6 * (dear - cheap) for dear, cheap in pairs)
        goal = "" if one.goal is None else f"<= {one.goal:.2f}"
        met = "" if one.goal is None else "yes" if high <= one.goal else "no" if low > one.goal else "cannot be told"
        rows.append([one.what, f"{median(ratios):.3f}", f"{low:.3f} to {high:.3f}", f"{apart:+.0f}", goal, met])
    whole = request_micros(rounds)
    head = ["what", "ratio", "95% interval", "µs a request", "goal", "met"]
    said = f"A request takes {whole:,.0f} µs of the gateway's processor (median of {len(rounds)} rounds)."
    return [f"## {title}", "", *table(head, rows), "", said, ""]


def alone(found: dict[float, list[float]], rounds: list[list[Pair]]) -> list[str]:
    """What tracing takes by itself, beside a request of the scripted gateways if there were any."""
    rows, whole = [], request_micros(rounds) if rounds else None
    for share, seconds in found.items():
        taken = 1e6 * median(seconds)
        low, high = (1e6 * one for one in interval(sorted(seconds)))
        goal = GOALS[share > 0]
        met = (
            "" if whole is None else "yes" if high <= goal * whole else "no" if low > goal * whole else "cannot be told"
        )
        part = "" if whole is None else f"{taken / whole:.4f}"
        rows.append([f"{share:.1f}", f"{taken:.1f}", f"{low:.1f} to {high:.1f}", part, f"<= {goal:.2f}", met])
    head = ["share of requests traced", "µs a request", "95% interval", "of a scripted request", "goal", "met"]
    return ["## Tracing alone", "", *table(head, rows), ""]


def request_micros(rounds: list[list[Pair]]) -> float:
    """What a request takes of the gateway's processor, the median."""
    return median(1e6 * cheap for found in rounds for _, cheap in found)


def interval(ordered: list[float]) -> tuple[float, float]:
    """Of the median: between two of the values, so that it lies outside in one case of twenty at most."""
    count, below, rank = len(ordered), 0.0, 0
    while rank < count // 2 and below + comb(count, rank) / 2**count <= _ENOUGH:
        below += comb(count, rank) / 2**count
        rank += 1
    return ordered[max(0, rank - 1)], ordered[min(count - 1, count - rank)]
