"""Which node a request goes to: the server's own choice against simpler rules, in a simulation.

    python -m benchmarks.routing

Engines of 16 streams with places for 8 adapters and 40 prefixes; three adapters for each engine, with three prefixes
each; Zipf 1.1, a burst of one key in 5 of each 20 seconds; four gateways that know their own requests exactly and the
others' from reports; an engine is lost half-way. 8 engines with reports each second and each 5 seconds, and 64. The
choice is `trivet.fleet.choice`, imported from the server.

    python -m benchmarks.routing --nodes 4

The same, smaller, on real engine nodes of the demo's model: 12 adapters of which a node has room for 4, three prefixes
of 448 tokens each, of which a node's KV cache holds 13 of 36; 8 clients, answers of 8 tokens. Round robin gives the
next node what it lacks and waits for that. The rules take turns on the same nodes; each begins without adapters.

What the simulation does not show: a real engine. Prefill (300 ms cold, 30 ms warm), loading an adapter (500 ms) and
decoding are fixed numbers, and an engine is as fast with 16 streams as with one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.measuring.machine import command, describe, machine_lines
from benchmarks.measuring.repository import ROOT
from benchmarks.routing.nodes import measure
from benchmarks.routing.rules import RULES
from benchmarks.routing.world import Model, World

CASES = {
    "8 engines, reports each second": Model(),
    "8 engines, reports each 5 s": Model(report=5.0),
    "64 engines, reports each second": Model(engines=64, keys=576, rate=600.0, seconds=60.0),
}


def measured(model: Model, rule: str) -> list[str]:
    """One row."""
    world = World(model, RULES[rule]())
    world.run()
    whole = [one for one in world.requests if one.first is not None]
    waits = sorted(one.first - one.arrived for one in whole if one.first is not None)
    samples = sorted(world.samples)
    return [
        rule,
        f"{sum(one.hit for one in whole) / len(whole):.1%}",
        f"{1000 * world.loads / len(world.requests):.0f}",
        f"{1000 * quantile(waits, 0.5):.0f} / {1000 * quantile(waits, 0.99):,.0f}",
        f"{quantile(samples, 0.5):.2f} / {quantile(samples, 0.99):.2f}",
        f"{sum(one.lost for one in world.requests)} / {sum(one.retried for one in world.requests)}",
    ]


def quantile(values: list[float], share: float) -> float:
    """Of sorted values."""
    return values[min(len(values) - 1, int(share * len(values)))]


def on_nodes(count: int, streams: int, requests: int, rounds: int) -> int:
    """Print a table of them."""
    machine = machine_lines(describe(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        windows = measure(Path(folder), count, streams, requests, rounds, seed=1)
    columns = [
        "rule",
        "prefix hits",
        "loads / 1,000",
        "first token p50 / p99, ms",
        "max / mean load p50 / p99",
        "failed",
    ]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    print(*(window.row() for window in windows), "", *machine, f"- `{command('routing')}`", sep="\n")
    return 1 if any(window.failed for window in windows) else 0


def main() -> int:
    """Print a table for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="simulated, of each case")
    parser.add_argument("--nodes", type=int, help="on so many real nodes instead")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--requests", type=int, default=600, help="of each rule, each time")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    if given.nodes is not None:
        return on_nodes(given.nodes, given.streams, given.requests, given.rounds)
    columns = ["rule", "prefix hits", "loads / 1,000", "first token p50 / p99, ms", "max / mean load p50 / p99"]
    columns.append("lost / retried")
    for name, case in CASES.items():
        model = case if given.seconds is None else replace(case, seconds=given.seconds)
        print(f"\n{name}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
        for rule in RULES:
            print(f"| {' | '.join(measured(model, rule))} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
