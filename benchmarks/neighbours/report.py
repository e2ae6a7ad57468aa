"""The page of `benchmarks.neighbours`."""

from __future__ import annotations

from typing import Any

from benchmarks.measuring.machine import command
from benchmarks.measuring.percentiles import percentile
from benchmarks.neighbours.run import Loop


def report(results: dict[str, tuple[Loop, Loop, Loop]], loops: int, described: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "# One tenant beside another",
        "",
        f"`{command('neighbours')}`. "
        f"Tenant A with {loops} closed loops, tenant B with one, on {described['cores']} cores ({described['cpu']}), "
        f"revision {described['revision']}, {described['date']}.",
        "",
        "| what A takes | B alone: p50, p99 (n) | B beside A: p50, p99 (n) | p99, ratio to alone | B refused | A "
        "| A refused |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, (alone, beside, taking) in results.items():
        if not alone.seconds or not beside.seconds:
            lines.append(f"| {row} | {len(alone.seconds)} answers | {len(beside.seconds)} answers | | | | |")
            continue
        times = percentile(beside.seconds, 0.99) / percentile(alone.seconds, 0.99)
        lines.append(
            f"| {row} | {_shown(alone)} | {_shown(beside)} | {times:.2f} | {_refused(beside)} "
            f"| {len(taking.seconds)} answered | {_refused(taking)} |"
        )
    return "\n".join(lines) + "\n"


def _shown(loop: Loop) -> str:
    middle, high = percentile(loop.seconds, 0.5), percentile(loop.seconds, 0.99)
    return f"{middle * 1000:.1f}, {high * 1000:.1f} ms ({len(loop.seconds)})"


def _refused(loop: Loop) -> str:
    return ", ".join(f"{code} {times}" for code, times in sorted(loop.refused.items())) or "none"
