"""The results' page, from what was run and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.rollouts.binomial import lower, upper
from benchmarks.rollouts.cells import Cell

ALLOWED_ABOVE = 0.015
"""The upper bound may exceed a promised share by this: 1,000 runs cannot tell 5% from 6.5%."""


def verdict(cell: Cell, result: Mapping[str, Any]) -> str:
    """`holds`, `fails` or `told`; a control `fails as it should`, or `does not fail`."""
    happened, runs = int(result["happened"]), int(result["runs"])
    if cell.most is not None:
        holds = upper(happened, runs) <= cell.most + ALLOWED_ABOVE
        if cell.control:
            return "does not fail" if lower(happened, runs) <= cell.most else "fails as it should"
        return "holds" if holds else ("fails" if lower(happened, runs) > cell.most else "too few runs to say")
    if cell.least is not None:
        if happened >= cell.least * runs:
            return "holds"
        return "fails" if upper(happened, runs) < cell.least else "not reached, too few runs to say"
    return "told"


def page(cells: Mapping[str, Cell], results: Mapping[str, Mapping[str, Any]], about: str) -> str:
    """Markdown. Cells that were not run are named at the end."""
    lines = [
        "# Rollouts: the statistics, simulated",
        "",
        about,
        "",
        "| traffic | counted | expected | runs | share | 95% bounds | median requests, candidate units | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, cell in cells.items():
        if name in results:
            lines.append(_row(name, cell, results[name]))
    left = [name for name in cells if name not in results]
    if left:
        lines += ["", "Not run: " + "; ".join(left) + "."]
    return "\n".join(lines) + "\n"


def _row(name: str, cell: Cell, result: Mapping[str, Any]) -> str:
    happened, runs = int(result["happened"]), int(result["runs"])
    expected = "-"
    if cell.most is not None:
        expected = f"<= {cell.most:.1%}"
    if cell.least is not None:
        expected = f">= {cell.least:.0%}"
    median = "-"
    if result["median_requests"] is not None:
        units = result["median_units"]
        median = f"{result['median_requests']:,.0f}" + ("" if units is None else f", {units:,.0f}")
    counted = cell.counted.value + (f": {cell.proven}" if cell.proven else "")
    bounds = f"{lower(happened, runs):.2%} to {upper(happened, runs):.2%}"
    return (
        f"| {name} | {counted} | {expected} | {runs:,} | {happened / runs:.2%} | {bounds} | {median} "
        f"| {verdict(cell, result)} |"
    )
