"""From ranks to tables."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring.machine import machine_lines
from benchmarks.searching.halves import DENSE, HYBRID, MODES, TERMS
from benchmarks.searching.python_docs import IDENTIFIERS, QUESTIONS, Query
from trivet.evaluation.statistics import Bootstrap, percentile_interval

DEPTH = 10
GOAL = 0.01  # hybrid may be so much below the better half
Ranks = list[int | None]
Floats = NDArray[np.float64]
SCORES: dict[str, Callable[[int | None], float]] = {
    "R@1": lambda rank: float(rank == 1),
    "R@10": lambda rank: float(rank is not None),
    "MRR@10": lambda rank: 0.0 if rank is None else 1 / rank,
}


def tuned_on(query: Query) -> bool:
    """Whether the settings were chosen by looking at this query."""
    return hashlib.sha256(f"half{query.text}".encode()).digest()[0] & 1 == 0


def scores(ranks: Sequence[int | None]) -> Floats:
    """(queries, 3): R@1, R@10, MRR@10."""
    return np.array([[score(rank) for score in SCORES.values()] for rank in ranks], dtype=np.float64)


def report(described: Mapping[str, Any], queries: Sequence[Query], results: Mapping[str, Mapping[str, Ranks]]) -> str:
    """Markdown."""
    lines = ["# Quality of retrieval on the Python manual", "", *machine_lines(described)]
    for kind in (QUESTIONS, IDENTIFIERS):
        chosen = [n for n, query in enumerate(queries) if query.kind == kind]
        if chosen:
            lines += ["", f"## {kind.capitalize()}: {len(chosen)}", "", *_table(results, chosen)]
            apart = [n for n in chosen if not tuned_on(queries[n])]
            lines += ["", f"Of them the {len(apart)} that nothing was tuned on:", "", *_table(results, apart)]
    lines += [
        "",
        "## Goal",
        "",
        f"Hybrid at least the better of its halves, minus {GOAL}.",
        "",
        *_goals(queries, results),
    ]
    return "\n".join(lines)


def _table(results: Mapping[str, Mapping[str, Ranks]], chosen: Sequence[int]) -> list[str]:
    lines = ["| embedding | search | R@1 | R@10 | MRR@10 |", "|---|---|---|---|---|"]
    bootstrap = Bootstrap(len(chosen))
    for precision, modes in results.items():
        for mode in MODES:
            values = scores([modes[mode][n] for n in chosen])
            cells = [with_interval(bootstrap, values[:, column]) for column in range(len(SCORES))]
            lines.append(f"| {precision if mode != TERMS else ''} | {mode} | {' | '.join(cells)} |")
    return lines


def with_interval(bootstrap: Bootstrap, values: Floats) -> str:
    """The mean with its 95% interval."""
    interval = percentile_interval(bootstrap.means(values))
    assert interval is not None
    return f"{values.mean():.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _goals(queries: Sequence[Query], results: Mapping[str, Mapping[str, Ranks]]) -> list[str]:
    lines = [
        "| queries | embedding | score | hybrid | better half | difference | met |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in (QUESTIONS, IDENTIFIERS):
        chosen = [n for n, query in enumerate(queries) if query.kind == kind]
        if not chosen:
            continue
        bootstrap = Bootstrap(len(chosen))
        for precision, modes in results.items():
            by_mode = {mode: scores([modes[mode][n] for n in chosen]) for mode in MODES}
            for column, name in enumerate(SCORES):
                hybrid = by_mode[HYBRID][:, column]
                better = max((DENSE, TERMS), key=lambda mode: by_mode[mode][:, column].mean())
                other = by_mode[better][:, column]
                met = "yes" if hybrid.mean() >= other.mean() - GOAL else "NO"
                lines.append(
                    f"| {kind} | {precision} | {name} | {hybrid.mean():.3f} | {better} {other.mean():.3f} | "
                    f"{difference(bootstrap, hybrid - other)} | {met} |"
                )
    return lines


def difference(bootstrap: Bootstrap, values: Floats) -> str:
    """The mean of paired differences with its 95% interval."""
    interval = percentile_interval(bootstrap.means(values))
    assert interval is not None
    return f"{values.mean():+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"
