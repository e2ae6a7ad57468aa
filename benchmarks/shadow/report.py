"""The page of `benchmarks.shadow`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.measuring.machine import command, machine_lines
from benchmarks.measuring.percentiles import percentile
from benchmarks.measuring.tables import table
from benchmarks.shadow.run import OFF, Felt

COLUMNS = (
    "loops", "copies", "answers", "TTFT p50", "p99", "total p50", "p99", "TTFT ratio p50, p99", "total ratio p50, p99",
    "of 100 answers' copies",
)  # fmt: skip


def report(results: Mapping[int, Mapping[str, Felt]], described: Mapping[str, Any]) -> str:
    """Markdown."""
    rows = [row for number, routes in results.items() for row in _rows(number, routes)]
    return "\n".join(
        [
            "# What real requests feel of a shadow's copies",
            "",
            f"`{command('shadow')}`. Times in milliseconds.",
            "",
            *table(COLUMNS, rows),
            "",
            "## Machine",
            "",
            *machine_lines(described),
        ]
    )


def _rows(number: int, routes: Mapping[str, Felt]) -> Iterator[tuple[str, ...]]:
    off = routes[OFF]
    for name, felt in routes.items():
        if not felt.total or not off.total:
            yield (str(number), name, "0", *[""] * (len(COLUMNS) - 3))
            continue
        yield (
            str(number),
            name,
            f"{len(felt.total)}" + (f", failed {dict(felt.failed)}" if felt.failed else ""),
            *(f"{1000 * percentile(values, share):.1f}" for values in (felt.ttft, felt.total) for share in (0.5, 0.99)),
            _ratios(felt.ttft, off.ttft),
            _ratios(felt.total, off.total),
            _copies(felt),
        )


def _ratios(values: list[float], off: list[float]) -> str:
    return ", ".join(f"{percentile(values, share) / percentile(off, share):.2f}" for share in (0.5, 0.99))


def _copies(felt: Felt) -> str:
    parts = (f"{outcome} {100 * number / len(felt.total):.1f}" for outcome, number in sorted(felt.copies.items()))
    return ", ".join(parts) or "none"
