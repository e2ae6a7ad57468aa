"""The page of `benchmarks.path.http`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.measuring.machine import command, machine_lines
from benchmarks.measuring.percentiles import percentile
from benchmarks.measuring.tables import table
from benchmarks.path.http.systems import GRPC, HTTP, LITELLM, SYSTEMS, VLLM
from benchmarks.path.summary import Spread

NAMES = {
    GRPC: "Trivet, gRPC", HTTP: "Trivet, HTTP", VLLM: "vLLM's server", LITELLM: "LiteLLM before vLLM's server",
}  # fmt: skip
ENGINE, LOAD = "engine", "load"
Cell = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One system at one number of streams, over the rounds. CPU: seconds per 1,000 output tokens; times in ms.

    `added`: everything between the clients and the engine's process. What ends in `_to_vllm` is taken within a round.
    """

    streams: int
    system: str
    speed: Spread
    speed_to_vllm: Spread
    ttft_p50: Spread
    ttft_p99: Spread
    added: Spread
    added_to_vllm: Spread
    engine: Spread
    load: Spread
    cached: float
    requests: int


def rows(cells: list[Cell]) -> list[Row]:
    """One per number of streams and system."""
    return [_row(cells, streams, system) for streams in sorted({c["streams"] for c in cells}) for system in SYSTEMS]


def _row(cells: list[Cell], streams: int, system: str) -> Row:
    turns: dict[int, dict[str, Cell]] = {}
    for cell in cells:
        if cell["streams"] == streams:
            turns.setdefault(cell["round"], {})[cell["system"]] = cell
    pairs = [(turn[system], turn[VLLM]) for turn in turns.values()]
    own = [cell for cell, _ in pairs]
    return Row(
        streams=streams,
        system=system,
        speed=Spread.of(_speed(cell) for cell in own),
        speed_to_vllm=Spread.of(_speed(cell) / _speed(other) for cell, other in pairs),
        ttft_p50=Spread.of(percentile(cell["ttft_ms"], 0.5) for cell in own),
        ttft_p99=Spread.of(percentile(cell["ttft_ms"], 0.99) for cell in own),
        added=Spread.of(_added(cell) for cell in own),
        added_to_vllm=Spread.of(_added(cell) / _added(other) for cell, other in pairs),
        engine=Spread.of(_cpu(cell, ENGINE) for cell in own),
        load=Spread.of(_cpu(cell, LOAD) for cell in own),
        cached=median(value for cell in own for value in cell["cached_tokens"]),
        requests=sum(cell["requests"] for cell in own),
    )


def _speed(cell: Cell) -> float:
    return float(cell["tokens"] / cell["seconds"])


def _cpu(cell: Cell, group: str) -> float:
    return float(1000 * cell["cpu_seconds"][group] / cell["tokens"])


def _added(cell: Cell) -> float:
    return sum(_cpu(cell, group) for group in cell["cpu_seconds"] if group not in {ENGINE, LOAD})


def report(described: Mapping[str, Any], settings: Mapping[str, Any], cells: list[Cell]) -> str:
    """Markdown."""
    cores = sorted(cell["others_cpu_seconds"] / cell["seconds"] for cell in cells)
    lines = [
        "# HTTP beside gRPC",
        "",
        f"`{command('path.http')}`. Medians over the rounds; in parentheses the least and the most of them.",
        "CPU is in seconds per 1,000 output tokens, without the engine's and the load generator's processes, which",
        "have columns of their own. Times to the first token are the client's, in milliseconds.",
        "",
        *_table(rows(cells)),
        "",
        f"Other processes took {median(cores):.2f} cores meanwhile (median), {cores[-1]:.2f} at most.",
        "",
        "## Machine",
        "",
        *machine_lines(described),
        "- " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items()),
    ]
    return "\n".join(lines)


def _table(found: list[Row]) -> Iterator[str]:
    yield from table(
        (
            "streams", "system", "tokens/s", "to vLLM's", "TTFT p50", "TTFT p99", "added CPU", "to vLLM's",
            "engine CPU", "load CPU", "cached", "requests",
        ),
        [
            (
                row.streams, NAMES[row.system], _spread(row.speed, ",.0f"), _spread(row.speed_to_vllm, ".2f"),
                _spread(row.ttft_p50, ".1f"), _spread(row.ttft_p99, ".1f"), _spread(row.added, ".3f"),
                _spread(row.added_to_vllm, ".2f"), f"{row.engine.middle:.3f}", f"{row.load.middle:.3f}",
                f"{row.cached:.0f}", row.requests,
            )
            for row in found
        ],
    )  # fmt: skip


def _spread(spread: Spread, form: str) -> str:
    return f"{spread.middle:{form}} ({spread.low:{form}} to {spread.high:{form}})"
