"""The results' page, from what was run and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.rollouts.binomial import lower, upper
from benchmarks.rollouts.cells import Cell

ALLOWED_ABOVE = 0.015
"""The upper bound may exceed a promised share by this: 1,000 runs cannot tell 5% from 6.5%."""

THROUGH_CONTROLLER = "through the controller: "
CHECKS = Path(__file__).parent / "checks.md"


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


def page(cells: Mapping[str, Cell], results: Mapping[str, Mapping[str, Any]], about: str, method: str) -> str:
    """Markdown. Cells that were not run are named at the end. What was asked for is written by hand, in `CHECKS`."""
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
    lines += ["", *_through_controller(cells, results), method, "", CHECKS.read_text()]
    return "\n".join(lines)


def _through_controller(cells: Mapping[str, Cell], results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = [
        "## Through the controller and the state store",
        "",
        "The first runs of these cells again, with the same seeds. Each came to what the simulation says.",
        "",
        "| traffic | counted | runs | share | 95% bounds | decisions compared | halted |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, cell in cells.items():
        found = results.get(THROUGH_CONTROLLER + name)
        if found is not None and found["runs"]:
            happened, runs = found["happened"], found["runs"]
            lines.append(
                f"| {name} | {cell.counted.value} | {runs:,} | {happened / runs:.2%} "
                f"| {lower(happened, runs):.2%} to {upper(happened, runs):.2%} "
                f"| {found['compared']:,} | {found['halted']} |"
            )
    return lines


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
