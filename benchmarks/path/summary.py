"""From measurements to figures and goals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.measuring.percentiles import percentile
from benchmarks.path.systems import BARE, SYSTEMS, TRIVET, VLLM

GOAL_STREAMS = 8


@dataclass(frozen=True, slots=True)
class Spread:
    """The median over rounds, the least and the most."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of at least one value."""
        listed = sorted(values)
        return cls(median(listed), listed[0], listed[-1])


@dataclass(frozen=True, slots=True)
class Row:
    """One system at one number of streams. CPU: seconds per 1,000 output tokens; times in milliseconds.

    `speed_to_bare` and `cpu_to_vllm` are taken within each round. `ttft` and `gateway` are percentiles 50 and 99 over
    all rounds' requests.
    """

    streams: int
    system: str
    speed: Spread
    front: Spread
    engine: Spread
    load: Spread | None
    speed_to_bare: Spread
    cpu_to_vllm: Spread
    ttft: tuple[float, float]
    gateway: tuple[float, float] | None
    cached_tokens: float
    requests: int


@dataclass(frozen=True, slots=True)
class Goal:
    """What was to be reached."""

    name: str
    goal: str
    measured: str
    met: bool


def path_rows(cells: list[dict[str, Any]]) -> list[Row]:
    """One row per number of streams and system."""
    streams = sorted({cell["streams"] for cell in cells})
    return [_row(cells, number, system) for number in streams for system in SYSTEMS]


def _row(cells: list[dict[str, Any]], streams: int, system: str) -> Row:
    by_round: dict[int, dict[str, dict[str, Any]]] = {}
    for cell in cells:
        if cell["streams"] == streams:
            by_round.setdefault(cell["round"], {})[cell["system"]] = cell
    rounds = list(by_round.values())
    own = [cells_of[system] for cells_of in rounds]
    gateway = [receipt["gateway_ms"] for cell in own for receipt in cell["receipts"]]
    ttft = [value for cell in own for value in cell["ttft_ms"]]
    return Row(
        streams=streams,
        system=system,
        speed=Spread.of(_speed(cell) for cell in own),
        front=Spread.of(_cpu(cell, "front") for cell in own),
        engine=Spread.of(_cpu(cell, "engine") for cell in own),
        load=Spread.of(_cpu(cell, "load") for cell in own) if "load" in own[0]["cpu_seconds"] else None,
        speed_to_bare=Spread.of(_speed(turn[system]) / _speed(turn[BARE]) for turn in rounds),
        cpu_to_vllm=Spread.of(_cpu(turn[system], "front") / _cpu(turn[VLLM], "front") for turn in rounds),
        ttft=(percentile(ttft, 0.5), percentile(ttft, 0.99)),
        gateway=(percentile(gateway, 0.5), percentile(gateway, 0.99)) if gateway else None,
        cached_tokens=median(value for cell in own for value in cell["cached_tokens"]),
        requests=sum(cell["requests"] for cell in own),
    )


def _speed(cell: Mapping[str, Any]) -> float:
    return float(cell["tokens"] / cell["seconds"])


def _cpu(cell: Mapping[str, Any], group: str) -> float:
    return float(1000 * cell["cpu_seconds"][group] / cell["tokens"])


def path_goals(rows: list[Row]) -> list[Goal]:
    """What the request path is to reach."""
    goals = []
    for row in rows:
        if row.system != TRIVET:
            continue
        speed, cpu = row.speed_to_bare.middle, row.cpu_to_vllm.middle
        goals.append(
            Goal(f"tokens/s of bare AsyncLLM's, {row.streams} streams", ">= 0.95", f"{speed:.2f}", speed >= 0.95)
        )
        goals.append(
            Goal(f"front-end CPU of vLLM's server's, {row.streams} streams", "<= 0.60", f"{cpu:.2f}", cpu <= 0.6)
        )
        if row.streams == GOAL_STREAMS and row.gateway is not None:
            for share, value, bound in (("p50", row.gateway[0], 1.0), ("p99", row.gateway[1], 5.0)):
                name = f"gateway_ms {share}, {row.streams} streams"
                goals.append(Goal(name, f"<= {bound:g} ms", f"{value:.2f} ms", value <= bound))
    return goals


def retrieval_figures(receipts: list[dict[str, Any]]) -> dict[str, float]:
    """Percentiles of `retrieval_ms`; what was given up in time counts with the time that it took."""
    values = [receipt["retrieval_ms"] for receipt in receipts]
    return {
        "requests": len(values),
        "p50": percentile(values, 0.5),
        "p99": percentile(values, 0.99),
        "max": max(values),
        "degraded": sum(1 for receipt in receipts if receipt.get("degraded")),
    }


def retrieval_goals(results: dict[str, Any]) -> list[Goal]:
    """Of the requests beside the streams."""
    goals = []
    for kind, bound in (("fresh", 10.0), ("repeated", 4.0)):
        value = retrieval_figures(results["beside"][kind])["p50"]
        goals.append(Goal(f"retrieval_ms p50, {kind} query", f"<= {bound:g} ms", f"{value:.2f} ms", value <= bound))
    return goals


def start_goals(results: dict[str, Any]) -> list[Goal]:
    """The median start with warm caches."""
    value = median(results["warm"])
    return [Goal("start to ready, warm caches", "<= 25 s", f"{value:.1f} s", value <= 25)]


def overload_figures(results: dict[str, Any]) -> dict[str, float]:
    """How long refusals took. `unexpected`: refused with another code, or without a receipt."""
    refused = results["refused"]
    right = [r for r in refused if r["code"] == "RESOURCE_EXHAUSTED" and r["server_ms"] is not None]
    server, client = [r["server_ms"] for r in right], [r["client_ms"] for r in right]
    return {
        "sent": results["requests"] * results["bursts"],
        "answered": results["answered"],
        "refused": len(right),
        "unexpected": len(refused) - len(right),
        "server_p50": percentile(server, 0.5),
        "server_p99": percentile(server, 0.99),
        "server_max": max(server),
        "client_p50": percentile(client, 0.5),
        "client_p99": percentile(client, 0.99),
    }


def overload_goals(results: dict[str, Any]) -> list[Goal]:
    """Every refusal within 50 ms, on the server's clock, and nothing but refusals."""
    figures = overload_figures(results)
    worst, odd = figures["server_max"], int(figures["unexpected"])
    return [Goal("refused at 10 times the load, slowest", "<= 50 ms", f"{worst:.1f} ms", worst <= 50 and odd == 0)]
