"""What the number of engine nodes costs a gateway: to watch them, and to choose among them.

    python -m benchmarks.fleet_size --to benchmarks/results

How it is measured
- The server's own `Fleet`, in this process, over 10 to 1,000 nodes. They are one listener in another process, reached
  by as many addresses of the loopback network; each has a connection and a watch of its own, and says once a second how
  it is. All have the same scripted engine, which says 16 messages at once.
- Watching: the processor's time of this process while it does nothing else, as a share of one core. Watched: that of
  the nodes' process meanwhile, all together.
- A request: the processor's time of this process for a whole answer, 8 at once, each of another prefix out of 50, so
  that the order of the nodes is remembered, as for the prefixes of routes.
- A new prefix: the processor's time to choose a node for a prefix that was not seen before.

What it does not show
- The pipeline, clients, TLS. Nodes that are busy or come and go.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import sys
import time
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fleet_size.nodes import Nodes, listening
from benchmarks.measuring.cpu_time import cpu_seconds
from benchmarks.measuring.machine import command, describe, machine_lines
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tables import table
from tests.support.engine.served_node import remote_settings
from trivet.fleet.discovery import FixedList
from trivet.fleet.fleet import Fleet, FleetSettings
from trivet.types.generation import BackendRequest
from trivet.types.variant import Sampling

SIZES = (10, 100, 300, 1000)
AT_ONCE = 8
PREFIXES = 50


@dataclass(frozen=True)
class Cost:
    """Of one size: a share of a core, microseconds, MiB."""

    nodes: int
    watching: float
    watched: float
    request: float
    new_prefix: float
    memory: float


def main() -> int:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of watching")
    parser.add_argument("--requests", type=int, default=400, help="of each round, of three")
    parser.add_argument("--to", type=Path, help="folder for fleet_size.md; printed by default")
    given = parser.parse_args()
    machine = describe(ROOT)
    with listening() as nodes:
        costs = [asyncio.run(_measure(nodes, size, given.seconds, given.requests)) for size in SIZES]
    lines = [
        "# The size of a fleet",
        "",
        *table(
            [
                "nodes",
                "watching, of a core",
                "watched, of a core",
                "µs a request",
                "µs to choose for a new prefix",
                "MiB of this process",
            ],
            [
                [
                    f"{one.nodes:,}",
                    f"{one.watching:.1%}",
                    f"{one.watched:.1%}",
                    f"{one.request:,.0f}",
                    f"{one.new_prefix:,.0f}",
                    f"{one.memory:,.0f}",
                ]
                for one in costs
            ],
        ),
        *method(__doc__),
        "",
        *machine_lines(machine),
        f"- `{command('fleet_size')}`",
    ]
    text = "\n".join(lines) + "\n"
    if given.to is None:
        sys.stdout.write(text)
    else:
        (given.to / "fleet_size.md").write_text(text)
    return 0


async def _measure(nodes: Nodes, size: int, seconds: float, requests: int) -> Cost:
    addresses = nodes.addresses[:size]
    fleet = Fleet(FleetSettings(remote_settings(heartbeat=1.0, lost_after=30.0), slow_start=0.0), FixedList(addresses))
    try:
        await fleet.start()
        await _all_eligible(fleet)
        theirs, before, began = cpu_seconds(nodes.pid), time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        watching = (time.process_time() - before) / (time.monotonic() - began)
        watched = (cpu_seconds(nodes.pid) - theirs) / (time.monotonic() - began)
        await _ask(fleet, range(PREFIXES * AT_ONCE))
        rounds = []
        for _ in range(3):
            before, began = time.process_time(), time.monotonic()
            await _ask(fleet, range(requests))
            spent = time.process_time() - before - watching * (time.monotonic() - began)
            rounds.append(spent / requests)
        new = _new_prefixes(fleet)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return Cost(size, watching, watched, statistics.median(rounds) * 1e6, new * 1e6, memory)
    finally:
        await fleet.close()


async def _all_eligible(fleet: Fleet) -> None:
    for _ in range(600):
        await asyncio.sleep(0.5)
        if all(one.eligible for one in fleet.endpoints.values()):
            return
    raise AssertionError("not all nodes are asked")


async def _ask(fleet: Fleet, numbers: range) -> None:
    waiting = iter(numbers)

    async def client() -> None:
        for number in waiting:
            async with aclosing(fleet.generate(_request(number % PREFIXES, number))) as chunks:
                async for _ in chunks:
                    pass

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))


def _request(prefix: int, number: int) -> BackendRequest:
    tokens = (prefix, *range(63), number)
    return BackendRequest(f"request-{number}", tokens, Sampling(max_tokens=16), unsalted_tokens=64)


def _new_prefixes(fleet: Fleet) -> float:
    """Seconds of the processor for one, with the order of the nodes not yet known."""
    among = list(fleet.endpoints.values())
    before = time.process_time()
    for number in range(100):
        fleet._placement._choose(among, None, f"new {number}".encode())
    return (time.process_time() - before) / 100


if __name__ == "__main__":
    sys.exit(main())
