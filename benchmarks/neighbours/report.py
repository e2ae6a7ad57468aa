"""The page of `benchmarks.neighbours`."""

from __future__ import annotations

from typing import Any

from benchmarks.measuring.machine import command
from benchmarks.measuring.percentiles import percentile
from benchmarks.neighbours.run import Loop, Row


def report(results: dict[str, Row], loops: int, described: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "# One tenant beside another",
        "",
        f"`{command('neighbours')}`. "
        f"Tenant A with {loops} closed loops, tenant B with one, on {described['cores']} cores ({described['cpu']}), "
        f"revision {described['revision']}, {described['date']}.",
        "",
        "| what A takes | B alone: p50, p99 (n) | B beside computing processes | B beside A "
        "| p99, ratio to alone: computing, A | B refused | A a second: alone, beside B | A refused |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in results.items():
        if not row.alone.seconds or not row.computing.seconds or not row.beside.seconds:
            lines.append(f"| {name} | {len(row.alone.seconds)} answers | | {len(row.beside.seconds)} answers | | | | |")
            continue
        lines.append(
            f"| {name} | {_shown(row.alone)} | {_shown(row.computing)} | {_shown(row.beside)} "
            f"| {_ratio(row.computing, row.alone):.2f}, {_ratio(row.beside, row.alone):.2f} | {_refused(row.beside)} "
            f"| {row.taking_alone:.1f}, {row.taking_beside:.1f} | {_refused(row.taking)} |"
        )
    return "\n".join(lines) + "\n"


def _ratio(loop: Loop, alone: Loop) -> float:
    return percentile(loop.seconds, 0.99) / percentile(alone.seconds, 0.99)


def _shown(loop: Loop) -> str:
    middle, high = percentile(loop.seconds, 0.5), percentile(loop.seconds, 0.99)
    return f"{middle * 1000:.1f}, {high * 1000:.1f} ms ({len(loop.seconds)})"


def _refused(loop: Loop) -> str:
    return ", ".join(f"{code} {times}" for code, times in sorted(loop.refused.items())) or "none"
