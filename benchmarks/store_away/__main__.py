"""Serving while the state store is away, beside serving while it is there.

    python -m benchmarks.store_away --to benchmarks/results

How it is measured
- Two whole gateways over one PostgreSQL, a rollout at 50%, engines that say their script at once: what is measured is
  the gateway. Four clients ask without a pause, two at each gateway.
- PostgreSQL is ended (SIGQUIT) and started again, round after round: a window with it, one without it. Ratios are taken
  within a round, and the medians of the rounds are told.
- A request that fails ends the benchmark with status 1.

What it does not show
- A store that hangs in place of being away: calls to it then wait for 5 s, on threads of their own.
- Engines: beside a real one, what the gateway takes is a small part.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.measuring.machine import command, describe, machine_lines
from benchmarks.measuring.method import method
from benchmarks.measuring.percentiles import percentile
from benchmarks.measuring.repository import ROOT
from tests.support.rollout_processes.gateways import Gateway, Pair, two_gateways

_CLIENTS_EACH = 2
_SHARES = (0.5, 0.99)
_SETTLE = 3.0  # seconds, after the store has come or gone
Times = dict[float, float]


def main() -> int:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description="Serving with the state store away, beside serving with it.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of a window")
    parser.add_argument("--to", type=Path, help="folder for store_away.md; printed by default")
    given = parser.parse_args()
    machine = describe(ROOT)
    with tempfile.TemporaryDirectory() as folder, two_gateways(Path(folder)) as pair:
        pair.begin(2)
        rounds = [_round(pair, given.seconds) for _ in range(given.rounds)]
    lines = [*_page(rounds), *method(__doc__), "", *machine_lines(machine), f"- `{command('store_away')}`"]
    text = "\n".join(lines) + "\n"
    if given.to is None:
        sys.stdout.write(text)
    else:
        (given.to / "store_away.md").write_text(text)
    return 0


def _round(pair: Pair, seconds: float) -> tuple[Times, Times]:
    there = _window(pair, seconds)
    pair.postgres.stop(signal.SIGQUIT)
    try:
        time.sleep(_SETTLE)
        away = _window(pair, seconds)
    finally:
        pair.postgres.start()
    time.sleep(_SETTLE)
    return there, away


def _window(pair: Pair, seconds: float) -> Times:
    """Milliseconds of a request, by share of the requests."""
    with ThreadPoolExecutor(2 * _CLIENTS_EACH) as pool:
        asked = [pool.submit(_ask, gateway, seconds) for gateway in pair for _ in range(_CLIENTS_EACH)]
        times = [one for future in asked for one in future.result()]
    return {share: 1000 * percentile(times, share) for share in _SHARES}


def _ask(gateway: Gateway, seconds: float) -> list[float]:
    end = time.monotonic() + seconds
    times: list[float] = []
    while (began := time.monotonic()) < end:
        gateway.answer(f"user-{len(times) % 50}")
        times.append(time.monotonic() - began)
    return times


def _page(rounds: list[tuple[Times, Times]]) -> list[str]:
    lines = [
        "# The state store away",
        "",
        "| of a request | with the store | without it | without over with, median of rounds | least and most |",
        "|---|---|---|---|---|",
    ]
    for share in _SHARES:
        there, away = (statistics.median(one[side][share] for one in rounds) for side in (0, 1))
        ratios = [one[1][share] / one[0][share] for one in rounds]
        lines.append(
            f"| p{share * 100:g} | {there:.1f} ms | {away:.1f} ms | {statistics.median(ratios):.2f} "
            f"| {min(ratios):.2f}, {max(ratios):.2f} |"
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
