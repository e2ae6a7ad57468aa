"""Budgets: what a request costs that is held against limits, and how exactly two gateways share one.

    python -m benchmarks.budgets --to benchmarks/results

A request that this gateway can let in by itself is compared with one call of the state store. Then eight clients of two
gateways use up a limit of a month: each request may use 2,000 tokens and uses 700 on the mean. Last, the same with
gateways in processes of their own: over SQLite their budgets alone, for a server keeps its SQLite file to itself; over
PostgreSQL two whole `trivet serve` that clients ask through gRPC, with scripted engines, until each is told to wait.
What was refused is counted in the store and in the receipts, where it has to be nothing.

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
from benchmarks.budgets.processes import UNITS, Used, served, spenders
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
        lines = [*_far(places, given.rounds), ""]
        for name, place in places.items():
            lines += [*_near(name, place, given.times), ""]
        lines += _processes(places["SQLite"], server.new_database, Path(folder), given.times)
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


def _processes(file: Callable[[], Path], database: Callable[[], str], folder: Path, times: int) -> list[str]:
    rows = []
    for unit in UNITS:
        rows.append(
            _process_row("SQLite, two processes' budgets", unit, [spenders(file(), unit) for _ in range(times)])
        )
    with served(folder, database) as gateways:
        for unit in UNITS:
            found = [gateways.use_up(unit) for _ in range(times)]
            rows.append(_process_row("PostgreSQL, two servers over gRPC", unit, found))
    head = ["gateways", "limit of", "used, least", "used, most", "requests beyond, most", "answered", "refused", "cost"]
    return ["Eight clients of two gateway processes:", "", *table(head, rows)]


def _process_row(name: str, unit: str, found: list[Used]) -> list[str]:
    beyond = max(one.beyond for one in found)
    least, most = min(one.share for one in found), max(one.share for one in found)
    answered, refused = sum(one.answered for one in found), [one.refused for one in found if one.refused is not None]
    counts = [f"{answered:,}", f"{sum(refused):,}" if refused else "", str(max(one.refusals_cost for one in found))]
    return [name, unit, f"{least:.4f}", f"{most:.4f}", f"{beyond:.2f}", *counts]


def _near(name: str, place: Callable[[], Any], times: int) -> list[str]:
    rows = []
    for most in SIZES:
        found = [asyncio.run(shared(place(), most, seed)) for seed in range(times)]
        rows.append([f"{most:,}", *_row(found)])
    head = ["tokens in the limit", "used, least", "used, most", "requests beyond, most", "requests", "calls for 1,000"]
    return [
        f"Two gateways on {name}, eight clients, until every client is told to wait for the next month:",
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
