"""Activated LoRAs beside plain ones: what a shared prefix saves, and that nothing gets mixed up by it.

    python -m benchmarks.shared_prefix cost          first tokens, prompts, memory, requests/s; some four minutes
    python -m benchmarks.shared_prefix parity        ids beside PEFT's; some two minutes
    python -m benchmarks.shared_prefix oracle        what a tenant can learn of another's text; some three minutes
    python -m benchmarks.shared_prefix isolation --state FILE --seconds 300    goes on where FILE ends

How it is measured
- A random Llama of the demo model's size and random adapters of rank 8 on all linear layers, in one engine in a process
  of its own, asked without a gateway. Blocks have 32 tokens. First tokens are by the engine's clock, from its queue on.
- `cost`: for 1, 4 and 16 adapters of each kind, a prefix that nobody has computed. The base computes it; then each
  adapter asks for the first time, right after the base with its prefix warm, and once more. Then one request of each
  adapter is answered at the same time, while the engine's own gauge of its KV cache is read every 5 ms. Then closed
  loops ask for `--seconds`. What is computed and held of the prefix: all less what each request has for itself.
- `parity`: 200 prompts for each of three adapters and the base, all at once, in steps of 96 tokens; half of the prompts
  have the invocation in a user's text too. An answer is equal if PEFT finds no token likelier than each given one.
- `oracle`: a victim asks with 96 tokens of its own; an attacker asks with the same tokens and with others. With a
  shared cache, where the attack must work, a tenth as many pairs.
- `isolation`: 24 questions by base, three plain and three activated adapters, asked alone with a salt of their own
  each; then 96 loops ask them in no order, as no tenant and as three, in rounds of 1,000, in a cache that is too small
  for them and with 2 adapters in a batch. Meanwhile adapters come, answer and go. Questions with two tokens nearer than
  0.01 in log probability are left out: another order of sums may turn these.

What it does not show
- A GPU, several of them, engine nodes, and large models.
- A gateway, which adds its time to every first token and finds the invocation in the prompt.
- An attacker who times on another machine, or measures the same guess many times.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import machine
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.shared_prefix import cost, isolation, oracle, parity, report

PARTS = ("cost", "parity", "oracle", "isolation")


def main() -> int:
    """Run one part and print its page; 1 if an answer was wrong, or if texts could be told apart by counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS, help="what to measure")
    parser.add_argument("--seconds", type=float, help="of each load (cost: 10), of the rounds (isolation: 300)")
    parser.add_argument("--count", type=int, help="prompts an adapter (parity: 200), pairs (oracle: 1,000), answers "
                        "(isolation: 100,000)")  # fmt: skip
    parser.add_argument("--state", type=Path, help="isolation: the file that it goes on from, and adds to")
    given = parser.parse_args()
    if given.part == "isolation" and given.state is None:
        parser.error("isolation needs --state FILE")
    described = machine.describe(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        lines, failed = asyncio.run(_measure(given, Path(folder), described))
    sys.stdout.write("\n".join([*lines, *method(__doc__), ""]))
    return failed


async def _measure(given: argparse.Namespace, folder: Path, described: dict[str, object]) -> tuple[list[str], int]:
    if given.part == "cost":
        return report.of_cost(await cost.measure(folder, given.seconds or 10.0, _tell), described), 0
    if given.part == "parity":
        compared = await parity.measure(folder, given.count or 200, _tell)
        return report.of_parity(compared, described), int(any(one.wrong for one in compared))
    if given.part == "oracle":
        tried = await oracle.measure(folder, given.count or 1000, _tell)
        leaked = any(one.counts for one in tried if one.cache == "tenant")
        return report.of_oracle(tried, described), int(leaked)
    wanted = given.count or 100_000
    found = await isolation.measure(folder, given.state, wanted, given.seconds or 300.0, _tell)
    return report.of_isolation(found, described, wanted), int(bool(found.wrong))


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
