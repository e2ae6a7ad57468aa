"""How work grows with its input: twice the text may take at most two and a half times the time.

Times of a few milliseconds at growing sizes, so that what grows faster is caught while it is still quick. As a program,
it measures a regular expression where it can be killed: Python's `re` stops for nothing, and keeps the interpreter's
lock. It reads [pattern, flags, methods, prefix] as JSON and writes what grows too fast.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

SHORTEST, LONGEST = 200, 100_000  # characters
MOST = 2.5  # times as long for twice as much
DOUBLINGS = 3  # that are looked at in one: a machine that others use too is not that even
FLOOR = 0.002  # seconds of CPU: less says nothing
CPU_SECONDS = 60
RUNS = (
    "x", "7", "_", ".", "-", "/", " ", "\n", "\t\n", "(", "[ ", "{{", "<!--", "# ", '"', "a.", "a_", "1-", "a..",
    ".1", "e\u0301", "\u2011", "\u3000", "中。",
)  # fmt: skip
ENDS = ("", "! x\n!")


def too_fast(work: Callable[[str], Any], prefix: str = "", runs: Sequence[str] = RUNS) -> Iterator[str]:
    """The runs on which the work grows faster than it may, and how fast."""
    for run in runs:
        for end in ENDS:
            if told := _growth(work, prefix, run, end):
                yield f"{prefix!r} + {run!r} * n + {end!r}: {told}"


def _growth(work: Callable[[str], Any], prefix: str, run: str, end: str) -> str:
    """Empty if all is well: the least time that says something, and that of DOUBLINGS more."""
    size = SHORTEST
    while _seconds(work, prefix, run, end, size) < FLOOR:
        size *= 2
        if size << DOUBLINGS > LONGEST:
            return ""
    more = size << DOUBLINGS
    for _ in range(3):  # only what is slow each time is slow
        before = min(_seconds(work, prefix, run, end, size) for _ in range(3))
        for _ in range(2):
            after = _seconds(work, prefix, run, end, more)
            if after <= MOST**DOUBLINGS * max(before, FLOOR):
                return ""
    return f"{before * 1000:.1f} ms for {size} characters, {after * 1000:.1f} ms for {more}"


def _seconds(work: Callable[[str], Any], prefix: str, run: str, end: str, size: int) -> float:
    text = prefix + run * (size // len(run)) + end
    begin = time.process_time()
    work(text)
    return time.process_time() - begin


def with_pattern(pattern: re.Pattern[str], method: str) -> Callable[[str], Any]:
    """One of its methods, used to the end."""
    if method in ("sub", "subn"):
        return lambda text: pattern.sub("", text)
    call = getattr(pattern, method)
    return (lambda text: sum(1 for _ in call(text))) if method == "finditer" else call


def _main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    source, flags, methods, prefix = json.load(sys.stdin)
    pattern = re.compile(source, flags)
    found = [f"{method}: {told}" for method in methods for told in too_fast(with_pattern(pattern, method), prefix)]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    _main()
