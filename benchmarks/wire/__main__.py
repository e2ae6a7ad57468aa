"""What the wire between a gateway and an engine node costs, beside the engine in the gateway's own process.

    python -m benchmarks.wire

Two gateways with the same route and the demo's model, one with an embedded engine, one with a node on the same machine;
both are up at once and are measured in turn. Closed loops of 8, 32 and 128 streams; the median of the rounds. CPU is
that of each process, in seconds for 1,000 output tokens: the gateway with its front end of vLLM when embedded; the
gateway and the node apart otherwise. Ratios are those of the front ends' sums.

With `--cancels 100` instead: how long it takes until the engine knows of a cancel, alone and with 8 other streams.

What it does not show: a network, TLS, a GPU; several nodes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import machine
from benchmarks.measuring.repository import ROOT
from benchmarks.wire.cancels import cancels
from benchmarks.wire.run import Window, measure


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[8, 32, 128])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--cancels", type=int, default=0)
    given = parser.parse_args()
    described = machine.describe(ROOT)
    if given.cancels:
        _print_cancels(given.cancels)
        print("\n".join(machine.machine_lines(described)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), given.streams, given.rounds, given.seconds)
    columns = ["streams", "engine", "tokens/s", "first token, ms", "gateway", "node", "engine's process", "front ends"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for count in given.streams:
        own = found[count, "embedded"]
        for name in ("embedded", "node"):
            print(f"| {count} | {name} | {_row(found[count, name], own)} |")
    print()
    print("\n".join(machine.machine_lines(described)))
    return 0


def _print_cancels(times: int) -> None:
    print("| other streams | cancels | p50, ms | p95, ms | longest, ms |\n|---|---|---|---|---|")
    for others in (0, 8):
        with tempfile.TemporaryDirectory() as folder:
            found = sorted(cancels(Path(folder), ROOT / "models" / "demo" / "weights", times, others))
        cells = (statistics.median(found), found[int(0.95 * (len(found) - 1))], found[-1])
        print(f"| {others} | {times} | {' | '.join(f'{one:.0f}' for one in cells)} |")
    print()


def _row(windows: list[Window], own: list[Window]) -> str:
    def median(field: str) -> float:
        return float(statistics.median(getattr(one, field) for one in windows))

    ratio = statistics.median((one.gateway + one.node) / other.gateway for one, other in zip(windows, own, strict=True))
    cells = [f"{median('tokens_per_second'):,.0f}", f"{median('first'):.0f}"]
    cells += [f"{median(field):.3f}" for field in ("gateway", "node", "engine")]
    return " | ".join([*cells, f"{ratio:.2f} times"])


if __name__ == "__main__":
    sys.exit(main())
