"""Processes of a test, from outside."""

from __future__ import annotations

import os
import time
from pathlib import Path


def gone(pid: int, within: float = 60) -> bool:
    """It has ended, or does so within so many seconds; a zombie counts."""
    end = time.monotonic() + within
    while True:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(0.02)


def cpu_seconds(pid: int) -> float:
    """User and system time so far, in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
