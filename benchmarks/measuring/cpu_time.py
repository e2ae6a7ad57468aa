"""CPU seconds of other processes, to the nanosecond (Linux)."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """User and system time of a process's threads, those that ended included. OSError if it is gone.

    The clock's number is what `clock_getcpuclockid(3)` makes of a process id; `/proc/<pid>/stat` has 10 ms steps.
    """
    return time.clock_gettime((~pid << 3) | 2)


def cpu_of_groups(groups: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """The sum of each group of processes."""
    return {name: sum(cpu_seconds(pid) for pid in pids) for name, pids in groups.items()}


def machine_seconds() -> float:
    """CPU seconds of the whole machine that were not idle, time stolen by other guests of its host included."""
    fields = [int(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle, waiting = fields[3], fields[4]
    return (sum(fields) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def thread_seconds(pid: int) -> dict[tuple[int, str], float]:
    """CPU seconds of each thread that is alive, by its id and name."""
    seconds: dict[tuple[int, str], float] = {}
    for folder in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it ended meanwhile
            name = (folder / "comm").read_text().strip()
            seconds[int(folder.name), name] = int((folder / "schedstat").read_text().split()[0]) / 1e9
    return seconds
