"""The benchmark of the request path: what the gateway costs, next to vLLM without it and to vLLM's own server.

How it is measured
- Three systems with the same engine settings: (a) vLLM's AsyncLLM in a process that reads it itself, (b) `trivet serve`
  over gRPC (`GenerateStream`, a route without retrieval), (c) vLLM's HTTP server (`/v1/completions`, streamed). All are
  up at once and are measured in turn, each number of streams, round after round, in an order that changes by round, so
  that drift of the machine hits all alike. Medians over the rounds; ratios are taken within a round.
- A random Llama of the demo model's size whose answers all have the same 64 tokens (checked, and the first prompt must
  get the same text from all three). Every prompt has the static prefix of `bench@1` and a text of its own.
- Closed loops: each stream sends its next request when the last one is answered. The streams start within a second, and
  the window begins half a second later. A request across the window's end counts with the tokens it had inside.
- Front-end CPU is that of the process between the clients and the engine's process: (a) the process with AsyncLLM, (b)
  the gateway, (c) the API server. The engine's process is shown on its own, so is the load generator's, which is none
  of a system's cost.
- What other processes took meanwhile is in the report. With --patience, a window in which they took more than a fifth
  of a core is measured again.
- Times to the first token are the client's. `gateway_ms`, `retrieval_ms` and refusals' `total_ms` come from receipts.
- Retrieval: the handbook's index. Fresh query texts are embedded; a repeated one has its vector in the cache.

What it does not show
- The three systems do not do the same: (b) gets texts and applies template and tokenizer to them, (a) and (c) get token
  ids, which spares them that work. (c) sends one event per token, which is its default (see --stream-interval); (b)
  gathers tokens into messages while several streams are open (`stream` in the configuration).
- (a) has no load generator beside it, (b) and (c) do, on the same cores. With two cores, engine, front end and load
  generator compete at many streams, and tokens/s shows it.
- A large model: there the engine takes nearly all the time, and all three come out alike.
- A network, TLS, keys, adapters, structured output, or a mixture of lengths.
- Refusals' `total_ms` begins when the event loop takes the call up. The client's time has the wait before that as well,
  and the load generator's own time for sending so many requests at once.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.measuring import machine
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.workload import BLOCK_SIZE, MAX_NUM_SEQS, MAX_TOKENS, Workload
from benchmarks.path.parts import Plan, measure_overload, measure_retrieval, measure_starts, stand
from benchmarks.path.patience import Patience
from benchmarks.path.plan import progress_from_now
from benchmarks.path.profile import profile
from benchmarks.path.report import report
from benchmarks.path.systems import measure_path

PARTS = ("start", "path", "retrieval", "overload")
STARTS = 2
EXAMPLES = """examples:
  python -m benchmarks.path                                  everything, about eight minutes
  python -m benchmarks.path --parts path --streams 8 --rounds 1 --seconds 3
  python -m benchmarks.path --json path.json > path.md
  python -m benchmarks.path --parts --profile 32             only where the gateway's time goes, at 32 streams
"""


def main() -> None:
    """Run the parts that are asked for, and print the report."""
    arguments = _arguments()
    progress = progress_from_now()

    described = machine.describe(ROOT)
    workload = Workload(arguments.folder.resolve())
    workload.make()
    plan = Plan(
        workload=workload,
        streams=tuple(arguments.streams),
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        stream_interval=arguments.stream_interval,
        patience=Patience(arguments.patience, progress),
        progress=progress,
    )
    settings = {
        "seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "output_tokens": MAX_TOKENS,
        "prefix_tokens": workload.prefix_tokens(),
        "input_tokens": len(workload.prompts()[0].ids),
        "block_size": BLOCK_SIZE,
        "max_num_seqs": MAX_NUM_SEQS,
        "stream_interval_of_c": arguments.stream_interval,
    }
    results = _measure(plan, arguments.parts)
    if arguments.parts:
        print("\n".join([report(described, settings, results), *method(__doc__)[1:]]))
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": described, "settings": settings, "results": results}))
    for streams in arguments.profile:
        progress(f"profile at {streams} streams")
        print(profile(workload, streams, arguments.seconds))


def _measure(plan: Plan, parts: list[str]) -> dict[str, Any]:
    results: dict[str, Any] = {}
    if "start" in parts:
        results["start"] = measure_starts(plan, STARTS)
    rest = {"path": measure_path, "retrieval": measure_retrieval, "overload": measure_overload}
    wanted = [name for name in rest if name in parts]
    if wanted:
        with stand(plan) as trivet:
            for name in wanted:
                results[name] = rest[name](plan, trivet)
    return results


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measure the request path: Trivet next to bare vLLM and to vLLM's own HTTP server.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--parts", nargs="*", choices=PARTS, default=list(PARTS), help="what to measure (default: everything)")
    add("--streams", nargs="+", type=int, default=[1, 8, 32], help="numbers of closed-loop streams (default: 1 8 32)")
    add("--rounds", type=int, default=3, help="how often each system is measured at each number (default: 3)")
    add("--seconds", type=float, default=5.0, help="length of one measured window (default: 5)")
    add(
        "--patience",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="spend up to this on measuring again what other processes disturbed (default: 0)",
    )
    add("--stream-interval", type=int, default=1, help="tokens per event of vLLM's server (default: 1, as its own)")
    add(
        "--profile", nargs="*", type=int, default=[], metavar="STREAMS", help="also profile the gateway under this load"
    )
    add("--json", type=Path, metavar="FILE", help="write every measurement to a file")
    add(
        "--folder",
        type=Path,
        default=ROOT / ".data" / "benchmark",
        help="model, caches and logs (default: .data/benchmark)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
