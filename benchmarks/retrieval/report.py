"""From measurements of searches to tables and goals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.measuring.machine import machine_lines

Cell = Mapping[str, Any]
LARGEST = 100_000
P50_MS, GROWTH, SLOWER = 8.0, 2.0, 2.0


def report(described: Mapping[str, Any], sizes: Sequence[Mapping[str, Any]]) -> str:
    """Markdown."""
    lines = ["# Retrieval", "", *machine_lines(described)]
    for size in sizes:
        lines += ["", f"## {size['passages']:,} passages", "", *_table(size["cells"]), "", _space(size)]
        lines += ["", *_empty(size["cells"])]
    lines += ["", "## Goals", "", "| what | goal | measured | met |", "|---|---|---|---|", *_goals(sizes)]
    return "\n".join(lines)


def _table(cells: Sequence[Cell]) -> Iterator[str]:
    yield "| at once | query vector | writes | system | p50 ms | p99 ms | searches/s | to Trivet's p50 | written |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for cell in sorted(cells, key=lambda cell: (cell["streams"], cell["cache"], cell["writing"])):
        own = find(cells, "trivet", cell["streams"], cell["cache"], cell["writing"])
        ratio = "" if own is None else f"{cell['p50'] / own['p50']:.2f}"
        yield (
            f"| {cell['streams']} | {cell['cache']} | {'yes' if cell['writing'] else ''} | {cell['system']} | "
            f"{cell['p50']:.1f} | {cell['p99']:.1f} | {cell['per_second']:.0f} | {ratio} | "
            f"{cell['written']:.0f} |"
        )


def _empty(cells: Sequence[Cell]) -> Iterator[str]:
    """Each question has passages: who finds none may be fast."""
    without = [cell for cell in cells if cell["empty"]]
    if not without:
        yield "Every search that was measured found passages."
    for cell in without:
        found = f"{cell['empty']:.0f} of {cell['searches']:.0f} searches found nothing"
        yield f"- {cell['system']}, {cell['streams']} at once: {found}."


def find(cells: Sequence[Cell], system: str, streams: int, cache: str, writing: bool) -> Cell | None:
    """One cell."""
    wanted = (system, streams, cache, writing)
    return next((c for c in cells if (c["system"], c["streams"], c["cache"], c["writing"]) == wanted), None)


def _space(size: Mapping[str, Any]) -> str:
    per = LARGEST / size["size"]
    made = "made earlier" if size["upsert_s"] is None else f"upserted in {size['upsert_s']} s"
    if size["build_s"] is not None:
        made += f", built in {size['build_s']} s"
    return (
        f"Vector process: {size['memory_mib']:.0f} MiB resident, {size['disk_mib']:.0f} MiB on disk; document log "
        f"{size['log_mib']:.0f} MiB ({size['disk_mib'] * per:.0f} and {size['log_mib'] * per:.0f} MiB per 100,000); "
        f"{made}."
    )


def _goals(sizes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    by_size = {size["size"]: size["cells"] for size in sizes}
    one = {number: find(cells, "trivet", 1, "miss", False) for number, cells in by_size.items()}
    if largest := one.get(LARGEST):
        yield _goal("hybrid p50 at 100,000, one at once, embedded", f"<= {P50_MS:g} ms", largest["p50"], " ms",
                    largest["p50"] <= P50_MS)  # fmt: skip
        if smallest := one.get(1_000):
            growth = largest["p50"] / smallest["p50"]
            yield _goal("p50 at 100,000 to that at 1,000", f"<= {GROWTH:g}", growth, "", growth <= GROWTH)
    for number, cells in by_size.items():
        other, own = find(cells, "llama-index", 1, "miss", False), one[number]
        if other is not None and own is not None:
            ratio = other["p50"] / own["p50"]
            yield _goal(f"LlamaIndex's p50 to ours at {number:,}", f">= {SLOWER:g}", ratio, "", ratio >= SLOWER)


def _goal(what: str, goal: str, measured: float, unit: str, met: bool) -> str:
    return f"| {what} | {goal} | {measured:.2f}{unit} | {'yes' if met else 'NO'} |"
