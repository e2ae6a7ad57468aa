"""What one gateway process can write, over an engine that computes nothing and emits 20,000 tokens a second.

    python -m benchmarks.paced                    256 and 1,024 streams, answers of 64 and of 256 tokens
    python -m benchmarks.paced --streams 8 --tokens 64 --seconds 2

How it is measured
- `trivet serve` as it is, with vLLM's input side, its metrics and its messages; only the process behind vLLM's client
  is another one, which pushes one token a step for each request and sleeps until the next step is due.
- Closed loops over gRPC (`GenerateStream`, a route without retrieval). Processor time is the gateway process's alone,
  with all its threads; the lateness of its event loop is what it exports itself (`trivet_event_loop_lag_seconds`), as
  the upper bound of the bucket in which the percentile lies.
- The ceiling is what one process could write at that cost if it had a core to itself: 1,000 tokens over the seconds
  that they take.

What it does not show
- An engine of its own that needs processors, TLS, keys, retrieval, adapters, schemas.
- The load generator is one Python process on the same cores, and takes about as much as the gateway: where the tokens
  per second are below the pace, the two of them are what ends them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from benchmarks.measuring import machine
from benchmarks.measuring.machine import command, machine_lines
from benchmarks.measuring.method import method
from benchmarks.measuring.percentiles import percentile
from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tables import table
from benchmarks.measuring.workload import MODEL_NAME, PLAIN_ROUTE, Workload
from benchmarks.path.load.worker import Worker
from trivet.cli.server.process import ServerProcess

LAG = "trivet_event_loop_lag_seconds_bucket"
HEAD = ("streams", "tokens an answer", "tokens/s", "CPU s per 1,000 tokens", "ceiling tokens/s", "messages an answer",
        "gap p50 / p99 ms", "TTFT p50 / p99 ms", "loop late p99 s", "requests")  # fmt: skip


def main() -> int:
    """Measure and print the page."""
    given = _arguments()
    described = machine.describe(ROOT)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        workload = Workload(Path(folder))
        workload.make()
        for tokens in given.tokens:
            _configure(workload, max(given.streams), tokens)
            with _served(workload, given.pace) as (server, load):
                for streams in given.streams:
                    rows.append(_row(streams, tokens, _window(server, load, streams, given.seconds)))
                    print(rows[-1], file=sys.stderr, flush=True)
    lines = ["# One process over a paced engine", "", f"`{command('paced')}`, {given.pace:,} tokens a second.", ""]
    lines += [*table(HEAD, rows), *machine_lines(described), *method(__doc__)]
    print("\n".join(lines))
    return 0


def _configure(workload: Workload, streams: int, tokens: int) -> None:
    config: dict[str, Any] = yaml.safe_load(workload.config.read_text())
    config["backends"][MODEL_NAME] |= {"max_num_seqs": streams, "hang_timeout": 600}
    config["admission"] = {"max_running": streams, "max_queued": streams}
    config["indexes"] = {}
    config["routes"] = {PLAIN_ROUTE: config["routes"][PLAIN_ROUTE]}
    config["routes"][PLAIN_ROUTE]["variants"]["base"]["sampling"]["max_tokens"] = tokens
    workload.config.write_text(yaml.safe_dump(config, sort_keys=False))


@contextmanager
def _served(workload: Workload, pace: int) -> Iterator[tuple[ServerProcess, Worker]]:
    os.environ["PACED_TOKENS_PER_SECOND"] = str(pace)
    folder = workload.folder
    server = ServerProcess(
        workload.config, folder / "data", output=folder / "trivet.log", module=["benchmarks.paced.served"]
    )
    with server, Worker("benchmarks.path.load", [str(folder)], folder / "load.log") as load:
        yield server, load


def _window(server: ServerProcess, load: Worker, streams: int, seconds: float) -> dict[str, Any]:
    target = {"trivet": server.target.address, "route": PLAIN_ROUTE}
    before = _lag(server)
    cell = load.ask(do="measure", target=target, streams=streams, seconds=seconds, processes={"front": [server.pid]})
    after = _lag(server)
    cell["lag"] = {bound: after[bound] - before.get(bound, 0.0) for bound in after}
    return cell


def _lag(server: ServerProcess) -> dict[float, float]:
    """Cumulative counts by upper bound."""
    with urllib.request.urlopen(f"http://{server.metrics_address}/metrics", timeout=10) as response:
        lines = [line for line in response.read().decode().splitlines() if line.startswith(LAG)]
    return {float(line.split('le="')[1].split('"')[0]): float(line.rpartition(" ")[2]) for line in lines}


def _row(streams: int, tokens: int, cell: dict[str, Any]) -> tuple[Any, ...]:
    cpu = 1000 * cell["cpu_seconds"]["front"] / cell["tokens"]
    counts = cell["lag"]
    late = min((bound for bound, count in counts.items() if count >= 0.99 * counts[float("inf")]), default=0.0)
    gaps, first = cell["gaps_ms"] or [0.0], cell["ttft_ms"] or [0.0]
    return (
        f"{streams:,}", tokens, f"{cell['tokens'] / cell['seconds']:,.0f}", f"{cpu:.4f}", f"{1000 / cpu:,.0f}",
        f"{1 + len(gaps) / max(1, cell['requests']):.1f}", f"{median(gaps):.0f} / {percentile(gaps, 0.99):.0f}",
        f"{median(first):.0f} / {percentile(first, 0.99):.0f}", f"{late:g}", cell["requests"],
    )  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[256, 1024], help="closed loops (default: 256 1024)")
    parser.add_argument("--tokens", type=int, nargs="+", default=[64, 256], help="of an answer (default: 64 256)")
    parser.add_argument("--pace", type=int, default=20_000, help="the engine's tokens a second (default: 20,000)")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a window (default: 8)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
