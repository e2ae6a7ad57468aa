"""The report: Markdown tables, of what was measured and of what was to be reached."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

from benchmarks.measuring.machine import machine_lines
from benchmarks.measuring.tables import table
from benchmarks.path.parts import RETRIEVAL_STREAMS
from benchmarks.path.summary import (
    Goal,
    Row,
    Spread,
    overload_figures,
    overload_goals,
    path_goals,
    path_rows,
    retrieval_figures,
    retrieval_goals,
    start_goals,
)
from benchmarks.path.systems import BARE, TRIVET, VLLM

NAMES = {BARE: "a: bare AsyncLLM", TRIVET: "b: Trivet, gRPC", VLLM: "c: vLLM's HTTP server"}


def report(machine: dict[str, Any], settings: dict[str, Any], results: dict[str, Any]) -> str:
    """The whole report; `results` has what each part that ran returned, by its name."""
    lines = ["# The request path", "", *_machine(machine, settings)]
    goals: list[Goal] = []
    if "path" in results:
        rows = path_rows(results["path"]["cells"])
        goals += path_goals(rows)
        lines += ["", "## Streams", "", *_path(rows), "", _others(results["path"]["cells"])]
    if "retrieval" in results:
        goals += retrieval_goals(results["retrieval"])
        lines += ["", "## Retrieval", "", *_retrieval(results["retrieval"])]
    if "start" in results:
        goals += start_goals(results["start"])
        lines += ["", "## Start", "", *_start(results["start"])]
    if "overload" in results:
        goals += overload_goals(results["overload"])
        lines += ["", "## Overload", "", *_overload(results["overload"])]
    lines += ["", "## Goals", "", *_goals(goals)]
    return "\n".join(lines) + "\n"


def _machine(machine: dict[str, Any], settings: dict[str, Any]) -> Iterator[str]:
    yield from machine_lines(machine)
    yield "- " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items())


def _path(rows: list[Row]) -> Iterator[str]:
    yield "CPU in seconds per 1,000 output tokens, times in ms, in parentheses the least and the most of the rounds."
    yield ""
    yield from table(
        (
            "streams", "system", "tokens/s", "to a", "TTFT p50", "TTFT p99", "front-end CPU", "to c",
            "engine CPU", "load CPU", "gateway_ms p50 / p99", "cached", "requests",
        ),
        [
            (
                row.streams, NAMES[row.system], _spread(row.speed, ",.0f"), f"{row.speed_to_bare.middle:.2f}",
                f"{row.ttft[0]:.1f}", f"{row.ttft[1]:.1f}", _spread(row.front, ".3f"), f"{row.cpu_to_vllm.middle:.2f}",
                f"{row.engine.middle:.3f}", "" if row.load is None else f"{row.load.middle:.3f}",
                "" if row.gateway is None else f"{row.gateway[0]:.2f} / {row.gateway[1]:.2f}",
                f"{row.cached_tokens:.0f}", row.requests,
            )
            for row in rows
        ],
    )  # fmt: skip


def _others(cells: list[dict[str, Any]]) -> str:
    """How far the machine was ours alone."""
    cores = sorted(cell["others_cpu_seconds"] / cell["seconds"] for cell in cells)
    return f"Other processes took {median(cores):.2f} cores meanwhile (median), {cores[-1]:.2f} at most."


def _retrieval(results: dict[str, Any]) -> Iterator[str]:
    where = {
        "beside": f"one after the other, beside {RETRIEVAL_STREAMS} streams without retrieval",
        "within": f"{RETRIEVAL_STREAMS} streams that all retrieve",
    }
    rows = []
    for place, kinds in results.items():
        for kind, receipts in kinds.items():
            figures = retrieval_figures(receipts)
            times = [f"{figures[name]:.1f}" for name in ("p50", "p99", "max")]
            rows.append((where[place], kind, *times, int(figures["degraded"]), int(figures["requests"])))
    yield from table(("requests", "query text", "retrieval_ms p50", "p99", "max", "degraded", "number"), rows)


def _start(results: dict[str, Any]) -> Iterator[str]:
    warm = results["warm"]
    each = ", ".join(f"{value:.1f}" for value in warm)
    yield f"`trivet serve`, from the process's start to ready: {median(warm):.1f} s with warm caches ({each})."


def _overload(results: dict[str, Any]) -> Iterator[str]:
    figures = overload_figures(results)
    yield f"{results['requests']} requests at once, {results['bursts']} times."
    yield ""
    columns = ("answered", "refused", "otherwise failed", "server's total_ms p50", "p99", "max", "client p50", "p99")
    times = [f"{figures[n]:.2f}" for n in ("server_p50", "server_p99", "server_max")]
    times += [f"{figures[n]:.0f}" for n in ("client_p50", "client_p99")]
    yield from table(columns, [(figures["answered"], figures["refused"], figures["unexpected"], *times)])


def _goals(goals: list[Goal]) -> Iterator[str]:
    yield from table(
        ("what", "goal", "measured", "met"), [(g.name, g.goal, g.measured, "yes" if g.met else "NO") for g in goals]
    )


def _spread(spread: Spread, form: str) -> str:
    return f"{spread.middle:{form}} ({spread.low:{form}} to {spread.high:{form}})"
