"""The page of `benchmarks.tenants_adapters`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.measuring.machine import command, machine_lines
from benchmarks.measuring.percentiles import percentile
from benchmarks.measuring.tables import table
from benchmarks.tenants_adapters.run import LOOPS, Results


def report(results: Results, described: Mapping[str, Any], tenants: int) -> str:
    """Markdown."""
    traffic = results.traffic
    return "\n".join(
        [
            "# Many tenants with an adapter each",
            "",
            f"`{command('tenants_adapters')}`. Times in milliseconds.",
            "",
            f"- {tenants} tenants; {results.alone} answers of each adapter alone, {results.distinct} different ones",
            f"- {traffic.answers} answers to {len(traffic.tenants)} tenants in {traffic.seconds:.0f} s; failed with "
            f"{dict(traffic.failed) or 'nothing'}",
            f"- the engine was killed half-way, and the first answer after that came {traffic.away:.0f} s later; "
            f"failed meanwhile, in {LOOPS} loops of five tries a second: {dict(traffic.failed_away) or 'nothing'}",
            f"- **wrong answers: {len(results.wrong)}**",
            *(f"    - {one}" for one in results.wrong[:5]),
            "",
            "## Cold starts under Zipf traffic",
            "",
            *table(("", "n", "p50", "p99"), [
                _row("wait for the adapter, of those that waited", traffic.cold),
                _row("their whole requests", traffic.cold_total),
                _row("whole requests that did not wait", traffic.warm_total),
            ]),
            "",
            "## A tenant beside one that loads all the time",
            "",
            *table(
                ("the tenant's adapter", "beside", "n", "p50", "p99", "of them waited for it"),
                [
                    (
                        kind, "the heavy tenant" if beside else "nobody",
                        *_row("", [*found.warm_total, *found.cold_total])[1:], len(found.cold),
                    )
                    for (kind, beside), found in results.light.items()
                ],
            ),
            "",
            *table(("the heavy tenant", "n", "p50", "p99"), [_row("wait for its adapters", results.heavy.cold)]),
            "",
            f"It failed with {dict(results.heavy.failed) or 'nothing'}.",
            "",
            "## Machine",
            "",
            *machine_lines(described),
        ]
    )  # fmt: skip


def _row(name: str, values: Sequence[float]) -> tuple[str, ...]:
    if not values:
        return name, "0", "", ""
    return name, str(len(values)), f"{percentile(values, 0.5):.1f}", f"{percentile(values, 0.99):.1f}"
