"""The page of `benchmarks.hostile`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.hostile.kind import Kind
from benchmarks.measuring.machine import command
from benchmarks.measuring.percentiles import percentile

if TYPE_CHECKING:
    from benchmarks.hostile.run import Results

PHASES = {"alone": "alone", "harmless": "beside harmless requests", "hostile": "beside hostile ones"}
MIB = 1 << 20


def report(described: Mapping[str, Any], rate: float, results: Results, known: Sequence[Kind]) -> str:
    """Markdown."""
    lines = [
        "# A hostile client beside eight streams",
        "",
        f"`{command('hostile')}`: {len(results.outcomes):,} requests of {len(known)} kinds, "
        f"{rate:g} a second in {results.seconds:.0f} s, on "
        f"{described['cores']} cores ({described['cpu']}), revision {described['revision']}, {described['date']}.",
        "",
        "| the streams | messages | time between two messages, p50 | p99 | p99, ratio to alone | longest |",
        "|---|---|---|---|---|---|",
    ]
    alone = percentile(results.gaps["alone"], 0.99)
    for phase, name in PHASES.items():
        gaps = results.gaps[phase]
        middle, high = percentile(gaps, 0.5), percentile(gaps, 0.99)
        lines.append(
            f"| {name} | {len(gaps):,} | {middle * 1000:.1f} ms | {high * 1000:.1f} ms | {high / alone:.2f} "
            f"| {max(gaps) * 1000:.0f} ms |"
        )
    memory, files = results.memory, results.files
    lines += [
        "",
        f"The gateway's resident memory: {memory['before'] / MIB:.0f} MiB before, {memory['most'] / MIB:.0f} at most, "
        f"{memory['after'] / MIB:.0f} after; open files {files['before']} before, {files['after']} after.",
        "",
        "The event loop was late by more than "
        + ", ".join(f"{bound * 1000:g} ms {times} times" for bound, (times, _) in results.late.items())
        + f" of {max(looks for _, looks in results.late.values())} checks beside the hostile requests.",
        "",
        f"Problems: {'; '.join(results.problems) or 'none'}.",
        "",
        "| kind | answered | requests | longest, ms | gateway's CPU less parsing, ms |",
        "|---|---|---|---|---|",
        *_rows(results, known),
    ]
    return "\n".join(lines) + "\n"


def _rows(results: Results, known: Sequence[Kind]) -> list[str]:
    times: dict[str, list[float]] = defaultdict(list)
    answers: dict[str, set[str]] = defaultdict(set)
    for outcome in results.outcomes:
        times[outcome.kind].append(outcome.seconds)
        answers[outcome.kind].add(outcome.answer)
    return [
        f"| {kind.name} | {', '.join(sorted(answers[kind.name]))} | {len(times[kind.name])} "
        f"| {max(times[kind.name]) * 1000:.0f} | {results.costs[kind.name] * 1000:.1f} |"
        for kind in known
    ]
