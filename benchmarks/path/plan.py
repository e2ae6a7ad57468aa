"""What comparisons of front ends have in common: closed loops in windows, what they are told, and what they say."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.workload import BLOCK_SIZE, MAX_NUM_SEQS, MAX_TOKENS, Workload

Progress = Callable[[str], None]
QUICK_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPlan:
    """Each number of `streams` is measured `rounds` times, in windows of so many `seconds`."""

    workload: Workload
    streams: Sequence[int]
    rounds: int
    seconds: float
    progress: Progress

    def settings(self) -> dict[str, Any]:
        """For the head of a page."""
        return {
            "rounds": self.rounds,
            "seconds of a window": self.seconds,
            "output tokens": MAX_TOKENS,
            "input tokens": len(self.workload.prompts()[0].ids),
            "block size": BLOCK_SIZE,
            "max num seqs": MAX_NUM_SEQS,
        }


def window_arguments(parser: argparse.ArgumentParser, seconds: float) -> None:
    """What a comparison is told; `seconds`: of a window, unless it is told others."""
    add = parser.add_argument
    add("--quick", action="store_true", help="one round of windows of two seconds")
    add("--streams", nargs="+", type=int, default=[1, 8, 32], help="closed loops (default: 1 8 32)")
    add("--rounds", type=int, default=3, help="how often each system is measured at each number (default: 3)")
    add("--seconds", type=float, default=seconds, help=f"of a measured window (default: {seconds:g})")
    add("--json", type=Path, metavar="FILE", help="write every measurement to a file")
    add("--folder", type=Path, default=ROOT / ".data" / "benchmark", help="model, caches, logs (.data/benchmark)")


def windows(given: argparse.Namespace) -> dict[str, Any]:
    """The fields of a `WindowPlan` by what was told; the workload is written anew."""
    progress = progress_from_now()
    workload = Workload(given.folder.resolve())
    workload.make()
    rounds, seconds = (1, QUICK_SECONDS) if given.quick else (given.rounds, given.seconds)
    return {
        "workload": workload,
        "streams": tuple(given.streams),
        "rounds": rounds,
        "seconds": seconds,
        "progress": progress,
    }


def progress_from_now() -> Progress:
    """Prints what it is told with the seconds since now, beside the page."""
    begin = time.monotonic()

    def progress(text: str) -> None:
        print(f"[{time.monotonic() - begin:5.0f} s] {text}", file=sys.stderr, flush=True)

    return progress
