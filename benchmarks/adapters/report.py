"""From the adapters' measurements to tables and goals."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.measuring.machine import machine_lines
from trivet.config.schema import EmbeddedBackend

Figures = Mapping[str, Any]
GAPS, QUANTA, FLAT = 1.5, 3.0, 1.1
QUANTUM_MS = float(EmbeddedBackend.model_fields["adapter_quantum_ms"].default)


def report(described: Figures, results: Figures) -> str:
    """Markdown."""
    lines = ["# Adapters", "", *machine_lines(described)]
    sections = {"loads": _loads, "first": _first, "waits": _waits, "speeds": _speeds, "many": _many}
    for name, section in sections.items():
        if name in results:
            lines += ["", *section(results[name])]
    goals = list(_goals(results))
    if goals:
        lines += ["", "## Goals", "", "| what | goal | measured | met |", "|---|---|---|---|", *goals]
    return "\n".join(lines) + "\n"


def _spread(name: str, found: Figures) -> str:
    return f"| {name} | {found['p50_ms']:.1f} | {found['p99_ms']:.1f} | {found['n']} |"


def _loads(found: Figures) -> Iterator[str]:
    yield from ("## Loading", "", "| load | p50 ms | p99 ms | n |", "|---|---|---|---|")
    yield from (_spread("idle", found["idle"]), _spread("beside 8 streams", found["under load"]), "")
    yield from ("| round | inter-token p99 ms, no swaps | with swaps | ratio | swaps |", "|---|---|---|---|---|")
    for number, one in enumerate(found["rounds"], start=1):
        quiet, busy = one["quiet"]["p99_ms"], one["swapping"]["p99_ms"]
        yield f"| {number} | {quiet:.1f} | {busy:.1f} | {busy / quiet:.2f} | {one['swaps']} |"


def _first(found: Figures) -> Iterator[str]:
    yield from ("## First token", "", "| the adapter is | p50 ms | p99 ms | n |", "|---|---|---|---|")
    yield from (_spread(name, one) for name, one in found.items())


def _waits(found: Figures) -> Iterator[str]:
    yield from (
        "## Waiting for a slot: 4 adapters, 2 slots, 8 streams of 64 tokens", "",
        "| | waited p50 ms | p99 ms | longest ms | latest first token ms | tokens/s | by adapter | a stream, p50 ms |",
        "|---|---|---|---|---|---|---|---|",
    )  # fmt: skip
    for name, one in found.items():
        waited = one["waited"]
        by = ", ".join(str(number) for number in one["answers by adapter"].values())
        yield (
            f"| {name} | {waited['p50_ms']:.0f} | {waited['p99_ms']:.0f} | {one['longest wait ms']:.0f} | "
            f"{one['latest first token ms']:.0f} | {one['tokens per second']:.0f} | {by} | {one['stream_ms']:.0f} |"
        )


def _speeds(found: Mapping[str, list[float]]) -> Iterator[str]:
    yield from (
        "## Speed of 8 streams", "", "| system | tokens/s (median over rounds) | to LoRA off |", "|---|---|---|"
    )  # fmt: skip
    off = found["base, LoRA off"]
    for name, values in found.items():
        ratio = statistics.median(value / other for value, other in zip(values, off, strict=True))
        yield f"| {name} | {statistics.median(values):.0f} | {ratio:.2f} |"


def _many(found: Figures) -> Iterator[str]:
    yield from (
        "## Many", "", "| adapters loaded | load p50 ms | p99 ms | gateway_ms p50 | gateway MiB | engine MiB |",
        "|---|---|---|---|---|---|",
    )  # fmt: skip
    for number, one in found.items():
        load = one["load"]
        yield (
            f"| {number} | {load['p50_ms']:.1f} | {load['p99_ms']:.1f} | {one['routing p50 ms']:.2f} | "
            f"{one['gateway MiB']:.0f} | {one['engine MiB']:.0f} |"
        )


def _goals(results: Figures) -> Iterator[str]:
    if "loads" in results:
        ratio = statistics.median(r["swapping"]["p99_ms"] / r["quiet"]["p99_ms"] for r in results["loads"]["rounds"])
        yield _goal("inter-token p99 during swaps / without", f"<= {GAPS:g}", f"{ratio:.2f}", ratio <= GAPS)
    if "waits" in results:
        worst = results["waits"]["leases"]["longest wait ms"] / QUANTUM_MS
        yield _goal("longest wait, 4 adapters in 2 slots", f"<= {QUANTA:g} quanta", f"{worst:.1f}", worst <= QUANTA)
    if "many" in results:
        few, most = (results["many"][number] for number in sorted(results["many"], key=int))
        for name, a, b in (
            ("load", few["load"]["p50_ms"], most["load"]["p50_ms"]),
            ("routing", few["routing p50 ms"], most["routing p50 ms"]),
        ):
            yield _goal(f"{name} with 500 to with few", f"<= {FLAT:g}", f"{b / a:.2f}", b / a <= FLAT)


def _goal(what: str, goal: str, measured: str, met: bool) -> str:
    return f"| {what} | {goal} | {measured} | {'yes' if met else '**no**'} |"
