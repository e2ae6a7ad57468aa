"""What one and what several front ends can write, over an engine that computes nothing: 20,000 tokens a second.

    python -m benchmarks.paced                    256 and 1,024 streams, answers of 64 and of 256 tokens
    python -m benchmarks.paced --pace 4000 --tokens 64       a pace that two cores keep up with
    python -m benchmarks.paced --streams 8 --tokens 16 --seconds 2 --rounds 1

How it is measured
- `trivet serve` as it is, with vLLM's input side, its metrics and its messages; only the process behind vLLM's client
  is another one, which pushes one token a step for each request and sleeps until the next step is due. Before anything
  is measured, each server is asked for its processes: with an engine of vLLM's, or none, the benchmark ends.
- With one front end that process is a child of the gateway. With several (`server.processes`) it is one of the engine
  process (`trivet engine`) that they share, which reads the engine's outputs and makes text of tokens in their place.
- Servers of one and of several front ends run beside each other, each with a paced engine and a database of one
  PostgreSQL of its own, and are measured in turn, the order changing from round to round. A number for each round.
- Closed loops over gRPC (`GenerateStream`, a route without retrieval), from a load generator for each 256 streams and
  two at least, with a connection for each 8 streams. The kernel spreads connections over front ends; how it did is in
  the table, counted in the middle of the window from the sockets of each.
- Processor time is that of each process with all its threads, front ends, engine process and parent; "of each" is for
  1,000 tokens of all front ends together, so that it adds up. The lateness of an event loop is what each front end
  exports itself (`trivet_event_loop_lag_seconds`), as the upper bound of the bucket in which the percentile lies.
- A ceiling is what could be written at that cost if every process had a core to itself: 1,000 tokens over the seconds
  of the busiest front end as connections were spread, and over those of the engine process. The lower of the two holds.
- Messages are those with text; the last one, with the receipt, is not counted. First tokens are counted from requests
  that were sent within the window, times between messages from those that were answered in it, too.
- "Beside the receipt" is how much longer the client waited for an answer than its receipt says: mostly until gRPC's
  Python server handed the call to its handler, for which it takes turns of the event loop.
- A request that the server's gRPC cancels before it is answered is sent again, and counted. Its first token is counted
  from when it was sent first.

What it does not show
- An engine of its own that needs processors, TLS, keys, retrieval, adapters, schemas.
- A machine with cores to spare. Front ends, engine process, parent, paced engine and load generators share the cores
  that there are; who took how much is the last table. Where the tokens a second are below the pace, the cores are what
  ends them: answers wait and go out in fewer and longer messages, which cost less, and first tokens and times between
  messages are those of a machine that is full. Costs compare where answers have about as many messages.
- Arrivals at random, answers of many lengths: streams start evenly over the time that an answer takes, and go on so.
- The event loop of the engine process, which exports no lag.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.measuring import machine
from benchmarks.measuring.machine import command, machine_lines
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.workload import Workload
from benchmarks.paced.layouts import Layout, Setting, served
from benchmarks.paced.loaders import Asked, Window, loaders, measure
from benchmarks.paced.report import Case, sections
from benchmarks.path.load.worker import WorkerFailedError
from tests.support.stores.postgres_server import postgres_server

TIMES = 1.5  # an answer's length that a window has room for
WARM_UP = 16  # streams, for what a server does once only
KEPT = 8_000  # tokens a second that two cores come to at most, whatever the pace


def main() -> int:
    """Measure and print the page."""
    given = _arguments()
    described = machine.describe(ROOT)
    found: dict[Case, list[Window]] = defaultdict(list)
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        workload = Workload(Path(folder))
        workload.make()
        for pace in given.pace:
            for tokens in given.tokens:
                for case, window in _measured(workload, given, Setting(max(given.streams), tokens, pace)):
                    _tell(case, window)
                    if isinstance(window, Window):
                        found[case].append(window)
                    else:
                        failed.append(f"- failed: {case}: {window}")
    lines = ["# One and several front ends over a paced engine", "", f"`{command('paced')}`", *sections(found), ""]
    print("\n".join([*lines, *failed, *machine_lines(described), *method(__doc__)]))
    return int(bool(failed))


def _measured(workload: Workload, given: argparse.Namespace, setting: Setting) -> Iterator[tuple[Case, Window | str]]:
    """All windows over servers that are told so, or what they failed with."""
    with ExitStack() as stack:
        database = stack.enter_context(postgres_server())
        layouts = [
            stack.enter_context(served(workload, number, setting, database.new_database()))
            for number in given.front_ends
        ]
        workers = stack.enter_context(loaders(workload.folder, max(given.streams)))
        each = given.streams_per_connection
        for layout in layouts:
            measure(layout, workers, Asked(min(WARM_UP, *given.streams), each, 2.0, 1.0))
        for number in range(given.rounds):
            for streams in given.streams:
                length = streams * setting.tokens / min(setting.pace, KEPT)
                asked = Asked(streams, each, max(given.seconds, TIMES * length), length)
                for layout in _turned(layouts, number):
                    case = Case(setting.pace, setting.tokens, streams, layout.front_ends)
                    try:
                        yield case, measure(layout, workers, asked)
                    except (WorkerFailedError, RuntimeError) as error:
                        yield case, " ".join(str(error).split())


def _turned(layouts: list[Layout], number: int) -> list[Layout]:
    first = number % len(layouts)
    return layouts[first:] + layouts[:first]


def _tell(case: Case, window: Window | str) -> None:
    if isinstance(window, str):
        print(f"{case}: {window}", file=sys.stderr, flush=True)
        return
    used = ", ".join(f"{kind} {cores:.2f}" for kind, cores in window.cores.items())
    print(f"{case}: {window.tokens_per_second:,.0f} tokens/s, cores: {used}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--front-ends", type=int, nargs="+", default=[1, 2], help="processes (default: 1 2)")
    parser.add_argument("--streams", type=int, nargs="+", default=[256, 1024], help="closed loops (default: 256 1024)")
    parser.add_argument("--tokens", type=int, nargs="+", default=[64, 256], help="of an answer (default: 64 256)")
    parser.add_argument("--pace", type=int, nargs="+", default=[20_000], help="tokens a second (default: 20000)")
    parser.add_argument("--rounds", type=int, default=2, help="windows of each (default: 2)")
    parser.add_argument("--seconds", type=float, default=8.0, help="least length of a window (default: 8)")
    parser.add_argument("--streams-per-connection", type=int, default=8, help="(default: 8)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
