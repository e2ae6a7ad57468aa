"""Processes that use a state store until they are ended, for the tests that end them.

Each line that one prints says what it has just begun or been told is done, so that the test knows what must be there.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from trivet.errors import Conflict, LeaseLost, StateUnavailable
from trivet.stores.state import StateStore
from trivet.types.rollout_state import Move, ObservationBatch

LEASE_SECONDS = 0.6


def place(text: str) -> Path | str:
    """A URL or a file."""
    return text if "://" in text else Path(text)


def say(*words: object) -> None:
    """One line."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def move(store: StateStore, route: str) -> None:
    """Move the route's rollout on, whoever else does, without a lease."""
    while True:
        record = (await store.current())[route]
        change = Move("advance", "canary", record.step, record.revision / 1e6, "passed", "On.", str(os.getpid()))
        try:
            moved = await store.move(record.id, record.revision, change)
        except (Conflict, StateUnavailable):
            continue
        say("moved", moved.revision)


async def append(store: StateStore, route: str) -> None:
    """Send batches, each one until it is acknowledged."""
    record, seq = (await store.current())[route], 0
    while True:
        batch = ObservationBatch(record.id, 0, "gateway", str(os.getpid()), seq, f"{seq}".encode())
        say("sent", seq)
        await store.append([batch])
        await store.append([batch])
        say("stored", seq)
        seq += 1


async def lead(store: StateStore, route: str) -> None:
    """Move the rollout on under the lease, as a leader does."""
    owner = str(os.getpid())
    while True:
        try:
            lease = await store.take_lease("leader", owner, LEASE_SECONDS)
            if lease is None:
                await asyncio.sleep(0.02)
                continue
            say("holds", lease.fence)
            record = (await store.current())[route]
            change = Move("advance", "canary", record.step, 0.5, "passed", "On.", owner)
            moved = await store.move(record.id, record.revision, change, lease)
            say("led", moved.revision, moved.fence)
        except LeaseLost:
            say("refused")
        except (Conflict, StateUnavailable) as error:
            say("failed", type(error).__name__)


async def work(where: str, kind: str, route: str) -> None:
    """Until ended."""
    store = StateStore.open(place(where))
    say("ready", os.getpid())
    await {"move": move, "append": append, "lead": lead}[kind](store, route)


def main() -> None:
    """For each line on the standard input, `LOG PLACE KIND ROUTE`, a child of its own that writes to that log.

    Importing takes a second, and forking does not.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for line in sys.stdin:
        log, where, kind, route = line.split()
        child = os.fork()
        if child == 0:
            file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(file, 1)
            asyncio.run(work(where, kind, route))
        say(child)


if __name__ == "__main__":
    main()
