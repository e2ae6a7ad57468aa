"""The page of `benchmarks.peers`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.measuring.machine import command, machine_lines
from benchmarks.measuring.percentiles import percentile
from benchmarks.measuring.tables import table
from benchmarks.path.summary import Spread
from benchmarks.peers.running import BARE, GLUE, GRPC, HTTP, LITELLM, RUST, SEARCH, SMG, VLLM, Cell

NAMES = {
    BARE: "AsyncLLM alone, without a server",
    GRPC: "Trivet, gRPC",
    HTTP: "Trivet, HTTP",
    VLLM: "vLLM's Python server",
    RUST: "vLLM's Rust front end",
    LITELLM: "LiteLLM before vLLM's Python server",
    SMG: "SMG before vLLM's Python server",
    SEARCH: "Trivet, gRPC, with retrieval",
    GLUE: "FastAPI + LlamaIndex before vLLM's Python server",
}
APART = ("engine", "load")  # groups of processes that are no front end
HEAD = ("streams", "system", "tokens/s", "TTFT p50", "TTFT p99", "added CPU", "ms a request", "to vLLM's Python server",
        "messages", "gap p50 / p99", "requests")  # fmt: skip
MB = 1_000_000


def report(described: Mapping[str, Any], settings: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Markdown."""
    cells: list[Cell] = found["cells"]
    others = sorted(cell["others_cpu_seconds"] / cell["seconds"] for cell in cells)
    lines = [
        "# Beside what a user would pick instead",
        "",
        f"`{command('peers')}`. Medians over the rounds; in parentheses the least and the most of them. Added CPU is",
        "in seconds per 1,000 output tokens, of all processes between the clients and the engine's; times in",
        "milliseconds.",
        "",
        *table(HEAD, list(_rows(cells))),
        "",
        *table(("system", "start, s", "memory without the engine, MB"), list(_places(found))),
        "",
        f"Other processes took {median(others):.2f} cores meanwhile (median), {others[-1]:.2f} at most.",
        "",
        *machine_lines(described),
        "- " + ", ".join(f"{name} {value}" for name, value in settings.items()),
    ]
    return "\n".join(lines)


def added(cell: Cell) -> float:
    """Seconds of processors per 1,000 tokens, without the engine and the load generator."""
    spent = sum(seconds for group, seconds in cell["cpu_seconds"].items() if group not in APART)
    return float(1000 * spent / cell["tokens"])


def ratios(cells: Sequence[Cell], system: str, other: str, streams: int) -> list[float]:
    """Of the added processor time of two systems, by round."""
    by_round: dict[int, dict[str, Cell]] = {}
    for cell in cells:
        if cell["streams"] == streams:
            by_round.setdefault(cell["round"], {})[cell["system"]] = cell
    pairs = [(one[system], one[other]) for one in by_round.values() if system in one and other in one]
    return [added(ours) / added(theirs) for ours, theirs in pairs]


def _rows(cells: Sequence[Cell]) -> Iterator[tuple[object, ...]]:
    for streams in sorted({cell["streams"] for cell in cells}):
        for system, name in NAMES.items():
            own = [cell for cell in cells if cell["streams"] == streams and cell["system"] == system]
            if not own:
                continue
            to_vllm = ratios(cells, system, VLLM, streams)
            gaps = [gap for cell in own for gap in cell["gaps_ms"]]
            requests = sum(cell["requests"] for cell in own)
            yield (
                streams, name, _spread(Spread.of(cell["tokens"] / cell["seconds"] for cell in own), ",.0f"),
                _spread(Spread.of(percentile(cell["ttft_ms"], 0.5) for cell in own), ".1f"),
                _spread(Spread.of(percentile(cell["ttft_ms"], 0.99) for cell in own), ".1f"),
                _spread(Spread.of(map(added, own)), ".3f"),
                f"{median(added(cell) * cell['output_tokens'][-1] for cell in own):.1f}",
                _spread(Spread.of(to_vllm), ".2f") if to_vllm else "",
                f"{1 + len(gaps) / requests:.1f}" if gaps else "",
                f"{percentile(gaps, 0.5):.0f} / {percentile(gaps, 0.99):.0f}" if gaps else "",
                requests,
            )  # fmt: skip


def _places(found: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for system, name in NAMES.items():
        if system in found["memory"]:
            held = found["memory"][system]
            told = ", ".join(f"{group} {size / MB:.0f}" for group, size in held.items() if group != "engine" and size)
            start = found["starts"].get(system)
            yield name, "" if start is None else f"{start:.1f}", told


def _spread(spread: Spread, form: str) -> str:
    return f"{spread.middle:{form}} ({spread.low:{form}} to {spread.high:{form}})"
