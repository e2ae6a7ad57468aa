"""What the accounts of a request take of the gateway's processor: tracing, log, metrics, limits, a machine's price.

    python -m benchmarks.overheads --to benchmarks/results            all parts, some fifteen minutes
    python -m benchmarks.overheads --parts scripted --rounds 5        one part, shorter

How it is measured
- Gateways that differ in one thing get the same requests in turn: a batch for the one, two for the other, one for the
  first again, in each round. Told are the median of the rounds' ratios and the interval in which it lies with 95%
  confidence (by the ranks of the rounds, without assumptions about their distribution).
- What is compared is the time of the processor, not of the clock: of the whole gateway process, threads that write the
  log and send spans included, until they have done what the batch left them. Load generator, collector and engine are
  other processes and are not counted.
- Tracing alone: the gateway's own code decides about a trace, makes the spans and sends them, in a process that does
  nothing else, neither thread nor event loop of a server beside it.
- Scripted: all gateways in one process and one event loop, each with the real gRPC door, pipeline, limits, sink and
  log, over a backend of `trivet.testing` that says 16 messages, 4 ms apart. "No tracing code" is an intake that looks
  for no trace, "no log" a log that drops what it gets, "no metrics" a sink that logs alone. With a machine's account
  each message is a step, which is more steps than an engine makes that answers several requests at once.
- Engine: a `trivet serve` for each, with a vLLM engine of its own and a tiny model, 64 tokens an answer. Log and
  metrics cannot be switched off there.
- "The same again" has no difference at all: what it shows is the error of all others.

What it does not show
- A route with retrieval, an adapter or long prompts, where requests take more and the shares are less.
- A collector or a disk that is slow: neither holds up a request, and what waits for them is bounded.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measuring.machine import command, describe, machine_lines
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.overheads.features import ENGINE, SCRIPTED
from benchmarks.overheads.report import BUSY, alone, section
from benchmarks.overheads.run import Batch, Pair, scripted, tracing_alone, with_engine

PARTS = ("scripted", "alone", "engine")


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    parser.add_argument("--rounds", type=int, default=12, help="of each part (default: 12)")
    parser.add_argument("--to", type=Path, help="folder for overheads.md; printed by default")
    given = parser.parse_args()
    described, began = describe(ROOT), time.monotonic()

    def progress(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    lines = ["# Overheads", "", (__doc__ or "").partition("\n")[0], ""]
    with tempfile.TemporaryDirectory() as folder:
        found: list[list[Pair]] = []
        if "scripted" in given.parts:
            found = scripted(Path(folder), Batch(requests=64, streams=16, rounds=given.rounds), progress)
            lines += section("Scripted backend", found, SCRIPTED)
        if "alone" in given.parts:
            lines += alone(tracing_alone(Path(folder), given.rounds, progress), found)
        if "engine" in given.parts:
            found = with_engine(Path(folder), Batch(requests=32, streams=8, rounds=given.rounds), progress)
            lines += section("Real engine", found, ENGINE)
    if described["load_average"] > described["cores"]:
        lines += [BUSY, ""]
    lines += [*machine_lines(described), f"- `{command('overheads')}`", *method(__doc__)]
    page = "\n".join(lines) + "\n"
    if given.to is None:
        sys.stdout.write(page)
    else:
        (given.to / "overheads.md").write_text(page)


if __name__ == "__main__":
    main()
