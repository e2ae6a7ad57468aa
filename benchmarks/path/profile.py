"""Where the gateway's CPU time goes: by thread, and in the event loop's thread by function."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring.cpu_time import thread_seconds
from benchmarks.measuring.servers import TrivetServer
from benchmarks.measuring.workload import PLAIN_ROUTE, Workload
from benchmarks.path.load.worker import Worker

FUNCTIONS = 45
WRITE_TIMEOUT = 30.0


def profile(workload: Workload, streams: int, seconds: float) -> str:
    """A closed loop against a server under the sampling profiler (see `benchmarks.path.profiled`), as text."""
    file = workload.folder / "profile.json"
    file.unlink(missing_ok=True)
    load_log = workload.folder / "load.log"
    with (
        TrivetServer(workload, profile=file) as server,
        Worker("benchmarks.path.load", [str(workload.folder)], load_log) as load,
    ):
        target = {"trivet": server.target.address, "route": PLAIN_ROUTE}
        load.ask(do="measure", target=target, streams=streams, seconds=1, offset=2000)
        before = thread_seconds(server.pid)
        os.kill(server.pid, signal.SIGUSR1)
        cell = load.ask(do="measure", target=target, streams=streams, seconds=seconds)
        threads = _by_name(server.pid, before, thread_seconds(server.pid))
        os.kill(server.pid, signal.SIGUSR2)
        _wait_for(file)
    stacks = [(tuple(stack), number) for stack, number in json.loads(file.read_text())]
    lines = [
        f"## Profile at {streams} streams, {cell['tokens'] / cell['seconds']:,.0f} tokens/s",
        "",
        "CPU seconds by thread (warm-up and end included):",
        *(f"  {spent:8.3f}  {name}" for name, spent in threads if spent >= 0.005),
        "",
        *_functions(stacks),
    ]
    return "\n".join(lines) + "\n"


def _by_name(
    pid: int, before: dict[tuple[int, str], float], after: dict[tuple[int, str], float]
) -> list[tuple[str, float]]:
    sums: defaultdict[str, float] = defaultdict(float)
    for thread, spent in after.items():
        sums["main (event loop)" if thread[0] == pid else thread[1]] += spent - before.get(thread, 0.0)
    return sorted(sums.items(), key=lambda item: -item[1])


def _functions(stacks: list[tuple[tuple[str, ...], int]]) -> Iterator[str]:
    """Shares of the samples: a function itself, and with all that it calls."""
    total = sum(number for _, number in stacks)
    itself: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for stack, number in stacks:
        itself[stack[-1]] += number
        for function in set(stack):
            within[function] += number
    for title, counts in (("by itself", itself), ("with what it calls", within)):
        yield f"Share of {total} samples of the event loop's thread, {title}:"
        for function, number in counts.most_common(FUNCTIONS):
            yield f"  {100 * number / total:5.1f} %  {_short(function)}"
        yield ""


def _short(function: str) -> str:
    """Without the folders that packages are installed in."""
    for mark in ("/site-packages/", "/server/", "/lib/python3."):
        if mark in function:
            return function.rpartition(mark)[2]
    return function


def _wait_for(file: Path) -> None:
    deadline = time.monotonic() + WRITE_TIMEOUT
    while not file.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no profile within {WRITE_TIMEOUT:g} s")
        time.sleep(0.05)
