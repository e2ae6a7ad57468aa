"""The request log from its oldest line to its newest, one line at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from trivet.costs.entry import Damaged, Entry, Statement, read_line
from trivet.costs.log_files import LogFile
from trivet.costs.machines import Machines

LONGEST_LINE = 64 << 10  # bytes; the log's own bound
_TOLD_EVERY = 1 << 20  # bytes


@dataclass(slots=True)
class Counts:
    """What became of the log's lines. `damaged`: neither whole nor any of ours; `outside`: of another time;
    `statements`: of `machines`, no receipts."""

    files: int = 0
    read: int = 0
    damaged: int = 0
    outside: int = 0
    statements: int = 0
    machines: Machines = field(default_factory=Machines)


def entries(
    files: Sequence[LogFile],
    counts: Counts,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Iterator[Entry]:
    """The receipts of requests that arrived from `since` on and before `until`; `counts` is kept up.

    `progress` is told bytes, now and then. A line takes at most `LONGEST_LINE` of memory, however damaged the log.
    """
    for file in files:
        counts.files += 1
        for line in _lines(file, progress):
            counts.read += 1
            try:
                entry = read_line(line)
            except Damaged:
                counts.damaged += 1
                continue
            outside = (since is not None and entry.at < since) or (until is not None and entry.at >= until)
            if isinstance(entry, Statement):
                counts.statements += 1
                counts.machines.add(entry, counted=not outside)
                continue
            if outside:
                counts.outside += 1
                continue
            yield entry


def _lines(file: LogFile, progress: Callable[[int], None]) -> Iterator[bytes]:
    """Its lines that are not empty. Of a longer one the beginning alone, which is no receipt."""
    left, untold = file.size, 0
    while left > 0:
        line = file.stream.readline(min(left, LONGEST_LINE))
        if not line:
            return  # it has become shorter
        taken = len(line)
        while not line.endswith(b"\n") and taken < left:
            rest = file.stream.readline(min(left - taken, LONGEST_LINE))
            taken += len(rest)
            if not rest or rest.endswith(b"\n"):
                break
        left, untold = left - taken, untold + taken
        if untold >= _TOLD_EVERY or left <= 0:
            progress(untold)
            untold = 0
        if line.strip():
            yield line
