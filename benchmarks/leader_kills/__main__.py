"""The process that decides on rollouts, killed with SIGKILL at random moments: is the audit log one whole story?

    python -m benchmarks.leader_kills --kills 200 --to benchmarks/results

How it is measured
- Two processes run the control of a gateway over one PostgreSQL, with simulated traffic. One rollout follows the other,
  in turn with a good candidate and a bad one. Their seconds last 50 ms, so that many decisions are made.
- Whoever holds the lease is killed at a random moment of the 1.2 s after it has moved a rollout on, or after a second
  in which nobody did, and started again. After every 20 kills the one that leads is stopped instead (SIGSTOP), for
  three leases longer than it takes another to lead, and goes on.
- The clock of one of the two processes is 10 minutes behind.
- In the end: revisions have no hole and no double, each transition begins where the one before it ended, fences never
  go back, each decision is made again from its own entry, and each rollout ended as its candidate deserves.

What it does not show
- Power cuts, and a database that fails over: PostgreSQL stays up.
- A gateway's routes: the processes have what is under them, and no engine.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.measuring.machine import command, describe, machine_lines
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from tests.support.rollout_processes.pair import Pair, judged_right
from tests.support.rollout_processes.worker import BAD_DIGEST
from tests.support.stores.postgres_server import postgres_server
from trivet.rollouts.control.audit import repeat
from trivet.types.rollout_state import RolloutRecord, Transition

_MOMENT = 1.2  # seconds
_PATIENCE = 1.0  # seconds
_KILLS_A_STOP = 20
_BEHIND = -600.0  # seconds
_MORE = 2  # rollouts that end after the last kill


@dataclass(frozen=True)
class Story:
    """What is left in the store."""

    log: list[Transition]
    ended: list[RolloutRecord]
    stops: int


def main() -> int:
    """Exit status 1 if the story is not whole."""
    parser = argparse.ArgumentParser(description="Kills the process that decides on rollouts at random moments.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--to", type=Path, help="folder for leader_kills.md; printed by default")
    given = parser.parse_args()
    machine = describe(ROOT)
    with postgres_server() as server, tempfile.TemporaryDirectory() as folder:
        story = asyncio.run(_killed(server.new_database(), Path(folder), given.kills, random.Random(given.seed)))
    lines = [
        *_page(story, given.kills),
        *method(__doc__),
        "",
        *machine_lines(machine),
        f"- `{command('leader_kills')}`",
    ]
    text = "\n".join(lines) + "\n"
    if given.to is None:
        sys.stdout.write(text)
    else:
        (given.to / "leader_kills.md").write_text(text)
    return 0


async def _killed(url: str, folder: Path, kills: int, chance: random.Random) -> Story:
    """Raises AssertionError where the story is not whole."""
    pair, stops = Pair(url, folder), 0
    pair.skew["g1"] = _BEHIND
    try:
        for name in ("g0", "g1"):
            pair.start(name)
        for number in range(1, kills + 1):
            await _moved_on(pair)
            await asyncio.sleep(chance.random() * _MOMENT)
            leader = pair.leader() or "g0"
            pair.kill(leader)
            pair.start(leader)
            if number % _KILLS_A_STOP == 0:
                await pair.stop_the_leader()
                stops += 1
        before = len(await pair.ended(0))
        ended = await pair.ended(before + _MORE)
        log = await pair.checked()
        judged_right(ended)
        return Story(log, ended, stops)
    finally:
        pair.close()


async def _moved_on(pair: Pair) -> None:
    """By a leader, since this was asked, or not for a while."""
    before, end = (await pair.running()).revision, time.monotonic() + _PATIENCE

    async def moved() -> bool:
        record = await pair.running()
        return time.monotonic() > end or (record.revision > before and record.event not in ("create", "start"))

    await pair.until(moved)


def _page(story: Story, kills: int) -> list[str]:
    log, decided = story.log, [entry for entry in story.log if entry.fence]
    revisions = {entry.revision for entry in log}
    again = sum(repeat(entry).message == entry.message for entry in decided)
    loose = sum(
        two.event != "create" and (one.to_state, one.to_step) != (two.from_state, two.from_step)
        for one, two in pairwise(log)
    )
    states = Counter(f"{_name(record)} {record.state}" for record in story.ended)
    rows = (
        ("leaders killed", f"{kills}, and {story.stops} stopped for three leases"),
        ("transitions in the audit log", f"{len(log):,}, revisions {min(revisions)} to {max(revisions):,}"),
        ("revisions that are missing", f"{max(revisions) - len(revisions)}"),
        ("revisions that are there twice", f"{len(log) - len(revisions)}"),
        ("transitions that do not begin where the one before ended", f"{loose}"),
        ("transitions that a leader decided", f"{len(decided):,}"),
        ("of them equal when made again from their entry", f"{again:,}"),
        ("leaders that decided", f"{len({entry.fence for entry in decided}):,}"),
        ("rollouts that ended", ", ".join(f"{count} {ending}" for ending, count in sorted(states.items()))),
    )
    return [
        "# Leaders of rollouts, killed",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {found} |" for name, found in rows),
    ]


def _name(record: RolloutRecord) -> str:
    return "bad" if record.spec_digest == BAD_DIGEST else "good"


if __name__ == "__main__":
    sys.exit(main())
