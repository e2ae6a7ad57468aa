"""Recompute what the machines cost from a request log alone, with nothing but Python's standard library.

    python benchmarks/accounts/invariant.py DATA_FOLDER

For each run of a server and each machine: receipts + copies + warm-up + unattributed + idle + starting + down are the
rate times the time, to the nano-dollar, at every statement; the receipts that were written by then cost no more than
the account of requests says, and, at the last statement of a server that was stopped in good order, exactly that. So
do the copies. Exit code 1 where anything differs.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

HOUR_NS = 3600 * 10**9


def main(folder: Path) -> int:
    """Check every machine of every run; 1 if anything differs."""
    files = [*sorted(folder.glob("receipts-*.jsonl")), folder / "receipts.jsonl"]
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines() if line.strip()]
    problems: list[str] = []
    told: dict[tuple[str, str], dict[str, Any]] = {}
    written: dict[tuple[str, str], int] = defaultdict(int)  # nano-USD of receipts of (machine, account), in this run
    run = ""
    for number, line in enumerate(lines, 1):
        if "machine" not in line:
            cost = line.get("cost", {})
            if cost.get("basis") == "machine":
                account = "shadow" if line.get("shadow") else "requests"
                written[line["backend"], account] += cost["prefill"] + cost["decode"]
            continue
        if line["run"] != run:
            run = line["run"]
            written.clear()
        told[run, line["machine"]] = {**line, "written": dict(written)}
        problems += [f"line {number}: {problem}" for problem in wrong(line, written)]
    for (_, machine), line in told.items():
        for account in ("requests", "shadow"):
            by_receipts, stated = line["written"].get((machine, account), 0), line["nano_usd"][account]
            if not line["in_progress_ns"] and by_receipts != stated:
                problems.append(f"{machine}: receipts of {account} cost {by_receipts}, and {stated} is stated")
        show(line)
    print("\n".join(problems) or "Everything adds up.")
    return 1 if problems or not told else 0


def wrong(line: dict[str, Any], written: dict[tuple[str, str], int]) -> list[str]:
    """What does not hold at one statement."""
    found = []
    accounted = sum(line["nanoseconds"].values())
    if accounted + line["in_progress_ns"] != line["wall_ns"]:
        found.append(f"{accounted} + {line['in_progress_ns']} ns are not the {line['wall_ns']} ns that passed")
    cost = floor(Fraction(line["rate_nano_usd_per_hour"]) * Fraction(accounted, HOUR_NS))
    if sum(line["nano_usd"].values()) != cost:
        found.append(f"{sum(line['nano_usd'].values())} nano-USD are stated, and the time costs {cost}")
    for account in ("requests", "shadow"):
        if written[line["machine"], account] > line["nano_usd"][account]:
            found.append(f"receipts of {account} cost more than is stated")
    return found


def show(line: dict[str, Any]) -> None:
    """One machine, as a table."""
    print(f"{line['machine']}, run {line['run']}: {line['wall_ns']} ns at {line['rate_nano_usd_per_hour']} nano-USD/h")
    for account, nano in line["nano_usd"].items():
        print(f"  {account:14}{line['nanoseconds'][account]:>18} ns {nano:>14} nano-USD")
    print(f"  {'sum':14}{sum(line['nanoseconds'].values()):>18} ns {sum(line['nano_usd'].values()):>14} nano-USD")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
