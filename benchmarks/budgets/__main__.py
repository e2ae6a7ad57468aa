"""Budgets: what a request costs that is held against limits, and how exactly two gateways share one.

    python -m benchmarks.budgets --to benchmarks/results

A request that this gateway can let in by itself is compared with one call of the state store. Then eight clients of two
gateways use up a limit of a month: each request may use 2,000 tokens and uses 700 on the mean.

What it does not show: a network between gateway and database; what waiting near a limit costs a client.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.budgets.measure import Shared, asked, let_in, shared
from benchmarks.measuring.machine import command, describe, machine_lines
from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tables import table
from tests.support.stores.postgres_server import postgres_server

SIZES = (50_000, 200_000, 1_000_000)  # tokens in the limit
BUSY = "The machine was busy with other work, more than it has cores: look at the ratios, not at the times."


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20_000, help="requests far from any limit")
    parser.add_argument("--times", type=int, default=5, help="times that a limit is used up, of each size")
    parser.add_argument("--to", type=Path, help="folder for budgets.md; printed by default")
    given = parser.parse_args()
    machine = describe(ROOT)
    with tempfile.TemporaryDirectory(dir=ROOT) as folder, postgres_server(durable=True) as server:
        numbers = iter(range(1000))
        places: dict[str, Callable[[], Any]] = {
            "SQLite": lambda: Path(folder) / f"state{next(numbers)}.sqlite",
            "PostgreSQL": server.new_database,
        }
        lines = [*_far(places, given.rounds), "", *_near(places["PostgreSQL"], given.times)]
    busy = [BUSY, ""] if machine["load_average"] > machine["cores"] else []
    said = (__doc__ or "").partition("\n\n")[2].partition("results\n\n")[2]
    page = (
        "\n".join(["# Budgets", "", said, *lines, "", *busy, *machine_lines(machine), f"- `{command('budgets')}`"])
        + "\n"
    )
    if given.to is None:
        print(page)
    else:
        (given.to / "budgets.md").write_text(page)


def _far(places: dict[str, Callable[[], Any]], rounds: int) -> list[str]:
    rows = []
    for name, place in places.items():
        call = asyncio.run(asked(place(), 200))
        for count in (0, 1, 4):
            seconds, calls = asyncio.run(let_in(place(), count, rounds))
            share = f"{seconds / call:.5f}"
            rows.append([name, str(count), f"{seconds * 1e6:.1f}", f"{call * 1e3:.1f}", share, f"{calls:.2f}"])
    head = ["database", "limits", "CPU µs a request", "ms a call of the store", "ratio", "calls for 1,000 requests"]
    return list(table(head, rows))


def _near(place: Callable[[], Any], times: int) -> list[str]:
    rows = []
    for most in SIZES:
        found = [asyncio.run(shared(place(), most, seed)) for seed in range(times)]
        rows.append([f"{most:,}", *_row(found)])
    head = ["tokens in the limit", "used, least", "used, most", "requests beyond, most", "requests", "calls for 1,000"]
    return [
        "Two gateways on PostgreSQL, eight clients, until every client is told to wait for the next month:",
        "",
        *table(head, rows),
    ]


def _row(found: list[Shared]) -> list[str]:
    requests = sum(one.requests for one in found)
    calls = 1000 * sum(one.calls for one in found) / requests
    least, most = min(one.used for one in found), max(one.used for one in found)
    return [f"{least:.4f}", f"{most:.4f}", f"{max(one.beyond for one in found):.2f}", f"{requests:,}", f"{calls:.0f}"]


if __name__ == "__main__":
    main()
