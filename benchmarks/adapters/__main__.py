"""The benchmark of adapters: loading them under load, waiting for a slot, having hundreds, and what LoRA costs.

    python -m benchmarks.adapters                 everything, some ten minutes on two quiet cores
    python -m benchmarks.adapters --parts waits speeds

How it is measured
- A random Llama of the demo model's size and random adapters of rank 8 on all linear layers: the engine does the work
  that it would do for real ones, and no answer ends by itself. Each part starts `trivet serve` on a configuration of
  its own and asks over gRPC, from threads of this process, which takes its share of the same cores.
- loads: load (with preflight, copy and record on disk) and unload one adapter after the other, idle and with 8 streams
  (4 of the base, 4 adapters). Inter-token times are those between messages at the client (with `stream.max_ms:
  0`, so that there is one for each of the engine's steps); windows with swaps and without take turns.
- first: time to first token with the adapter in a slot of the engine, in its memory, or only in our copy on disk.
- waits: 4 adapters, 2 slots, two closed loops of 64-token streams each, with leases and with `adapter_quantum_ms: 0`.
  Without leases a request waits in the engine, which does not say for how long: there only the first token tells.
- speeds: tokens/s of 8 streams, four systems in turn: base with LoRA off and on, an adapter, the same merged.
- many: what a load and a routed request cost with 10 and with 500 adapters loaded, and the memory.

What it does not show
- A GPU, or large models, where a load moves gigabytes.
- A network, or object stores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.adapters.parts import first_tokens, loads, many, speeds, waits
from benchmarks.adapters.report import report
from benchmarks.adapters.world import AdapterWorld
from benchmarks.measuring import machine
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "adapters.md"
PARTS = ("loads", "first", "waits", "speeds", "many")
ADAPTERS = 500


def measure(world: AdapterWorld, parts: list[str], rounds: int, seconds: float) -> dict[str, Any]:
    """The figures of these parts."""
    results: dict[str, Any] = {}
    if "loads" in parts:
        results["loads"] = loads(world, 100, rounds, _say)
    if "first" in parts:
        results["first"] = first_tokens(world, _say)
    if "waits" in parts:
        results["waits"] = waits(world, 2 * seconds, _say)
    if "speeds" in parts:
        results["speeds"] = speeds(world, rounds, seconds, _say)
    if "many" in parts:
        results["many"] = many(world, (10, ADAPTERS), _say)
    return results


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0, help="of a window (default 15)")
    parser.add_argument("--output", type=Path, help=f"write the report there; all parts: {RESULTS.relative_to(ROOT)}")
    given = parser.parse_args()
    described = machine.describe(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        world = AdapterWorld(Path(folder))
        world.make(ADAPTERS if "many" in given.parts else 120)
        results = measure(world, given.parts, given.rounds, given.seconds)
    described["command"] = machine.command("adapters")
    text = "\n".join([report(described, results), *method(__doc__)[1:], ""])
    output = given.output or (RESULTS if set(given.parts) == set(PARTS) else None)
    if output is not None:
        output.write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
