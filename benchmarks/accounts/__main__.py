"""Requests of every kind and fate, and every account of them set against every other.

    python -m benchmarks.accounts --to benchmarks/results

How it is measured

- One server with two engines: one priced by tokens, one by the machine's hour, with adapters. Six routes:
  with a search that may be left out, with one that must not, with a cache for each tenant alone, in a canary,
  and two that are copied to a shadow.
- Clients of gRPC and HTTP, whole answers and streams: some cancel at a random moment, have little time, read
  slowly, are at their limit (of requests or of tokens), ask for a route that does not exist, send what is
  refused, or have no valid key.
- Meanwhile each engine is killed once (SIGKILL), and the vector engine hangs and is killed.
- What a client was told, what GetReceipt says and what the log has of each request must be the same; each
  request has one line, but those of nobody (no valid key) and those that left before they arrived.
- The log's sums must be the increments of `/metrics` by route, variant, code, kind, component and reason, and
  those of `trivet cost --json`.
- Tokens of requests, copies and warm-up must be the engines' own counts (`vllm:prompt_tokens_total`,
  `vllm:generation_tokens_total`).
- `benchmarks/accounts/invariant.py`, which imports nothing of Trivet, recomputes what the machine cost from
  the log alone.

What it does not show

- An engine that is killed takes its counters with it. So it is held first (SIGSTOP), its counters are read
  once they do not change, and then it is killed: to the token, what it had handed over is what receipts
  charge. Where an engine dies by itself, a Prometheus has its counters as of the last scrape; receipts have
  what was handed over until the end.
- Several gateways, and speed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.accounts.run import Result, measure
from benchmarks.measuring.machine import command, describe, machine_lines
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tables import table


def main() -> int:
    """Run it and write the page; 1 if any two accounts differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--to", type=Path, help="folder for accounts.md; printed by default")
    given = parser.parse_args()
    machine = describe(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), given.requests, given.seed)
    for problem in result.problems[:50]:
        print(problem, file=sys.stderr)
    page = "\n".join([*_page(result), *method(__doc__), "", *machine_lines(machine), f"- `{command('accounts')}`", ""])
    if given.to is None:
        print(page)
    else:
        (given.to / "accounts.md").write_text(page)
    return 1 if result.problems else 0


def _page(result: Result) -> list[str]:
    return [
        "# Accounts", "",
        f"Differences between any two accounts: **{len(result.problems)}**.", "",
        *table(["", ""], [[name, f"{value:,}"] for name, value in result.sums.items()]), "",
        f"Killed: {'; '.join(result.kills)}.", "",
        "Requests by kind, and receipts by code:", "",
        *table(["kind", "requests"], [[name, f"{count:,}"] for name, count in result.kinds.most_common()]), "",
        *table(["code", "receipts"], [[name, f"{count:,}"] for name, count in result.codes.most_common()]), "",
        "The machine, recomputed from the log alone:", "", "```text", result.invariant.rstrip(), "```",
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
