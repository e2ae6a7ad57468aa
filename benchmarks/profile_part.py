"""Where the gateway's CPU time goes: by thread, and in the event loop's thread by function."""

from __future__ import annotations

import io
import pstats
import signal
import time
from collections import defaultdict
from pathlib import Path

from cpu_time import thread_seconds
from servers import TrivetServer
from worker import Worker
from workload import PLAIN_ROUTE, Workload

FUNCTIONS = 40
WRITE_TIMEOUT = 30.0


def profile(workload: Workload, streams: int, seconds: float) -> str:
    """Two measurements of a closed loop, without and with cProfile, as text."""
    file = workload.folder / "profile.pstats"
    file.unlink(missing_ok=True)
    load_log = workload.folder / "load.log"
    with (
        TrivetServer(workload, profile=file) as server,
        Worker("load_generator.py", [str(workload.folder)], load_log) as load,
    ):
        target = {"trivet": server.address, "route": PLAIN_ROUTE}
        before = thread_seconds(server.pid)
        plain = load.ask(do="measure", target=target, streams=streams, seconds=seconds)
        threads = _by_name(before, thread_seconds(server.pid))
        server.tell(signal.SIGUSR1)
        traced = load.ask(do="measure", target=target, streams=streams, seconds=seconds, offset=1000)
        server.tell(signal.SIGUSR2)
        _wait_for(file)
    lines = [
        f"{streams} streams; {plain['tokens'] / plain['seconds']:,.0f} tokens/s, "
        f"{traced['tokens'] / traced['seconds']:,.0f} under cProfile",
        "CPU by thread, without cProfile (warm-up and end included):",
        *(f"  {name:<20} {spent:8.3f} s" for name, spent in threads if spent >= 0.001),
        f"Functions of the event loop's thread by their own CPU time, of {traced['requests']} requests and a few more:",
    ]
    return "\n".join(lines) + "\n" + _functions(file)


def _by_name(before: dict[tuple[int, str], float], after: dict[tuple[int, str], float]) -> list[tuple[str, float]]:
    sums: defaultdict[str, float] = defaultdict(float)
    for thread, spent in after.items():
        sums[thread[1]] += spent - before.get(thread, 0.0)
    return sorted(sums.items(), key=lambda item: -item[1])


def _functions(file: Path) -> str:
    text = io.StringIO()
    stats = pstats.Stats(str(file), stream=text)
    stats.sort_stats("tottime").print_stats(FUNCTIONS)
    lines = text.getvalue().splitlines()
    here = next(i for i, line in enumerate(lines) if "tottime" in line)
    return "\n".join(_short(line) for line in lines[here:] if line.strip())


def _short(line: str) -> str:
    """A profile's line without the folders that packages are installed in."""
    head, slash, tail = line.rpartition("/site-packages/")
    if not slash:
        head, slash, tail = line.rpartition("/server/")
    if not slash:
        head, slash, tail = line.rpartition("/lib/python3")
    return head[: head.rfind(" ") + 1] + tail if slash else line


def _wait_for(file: Path) -> None:
    deadline = time.monotonic() + WRITE_TIMEOUT
    while not file.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no profile within {WRITE_TIMEOUT:g} s")
        time.sleep(0.05)
