"""The page of the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.measuring.machine import command, machine_lines
from benchmarks.measuring.method import method
from benchmarks.measuring.tables import table
from benchmarks.start.run import Start

Starts = Mapping[str, Sequence[Start]]
MIB = 1 << 20


def page(machine: Mapping[str, Any], before: str, starts: Starts, docstring: str | None) -> str:
    """Markdown."""
    lines = ["# A start of the server", "", f"`{command('start')}`", "", *machine_lines(machine)]
    rounds = len(starts["after"])
    lines += [f"- medians of {rounds} starts each, in turns; before: revision {before}", ""]
    lines += [*_whole(starts), "", "## By process", "", *_processes(starts), "", "## Steps of a start", ""]
    lines += ["Seconds from the start of the process to the line of the log, of the last start of each revision.", ""]
    for which in starts:
        rows = [[told, f"{seconds:.1f}"] for told, seconds in starts[which][-1].steps.items()]
        lines += [*table([which, "s"], rows), ""]
    return "\n".join([*lines[:-1], *method(docstring)]) + "\n"


def _whole(starts: Starts) -> Iterator[str]:
    rows = [
        ["ready, s", *_medians(starts, lambda one: one.ready, "{:.1f}")],
        ["processor seconds until then", *_medians(starts, lambda one: sum(one.cpu.values()), "{:.1f}")],
        ["restart of a killed engine, s", *_medians(starts, lambda one: one.restart, "{:.1f}")],
        ["processor seconds of it", *_medians(starts, lambda one: one.restart_cpu, "{:.1f}")],
        ["PSS of all processes, MiB", *_medians(starts, _all_shared_out, "{:.0f}")],
    ]
    return table(["", *starts], rows)


def _processes(starts: Starts) -> Iterator[str]:
    names = dict.fromkeys(name for which in starts.values() for one in which for name in one.memory)
    rows = []
    for name in names:
        for which in starts:
            having = [one for one in starts[which] if name in one.memory]
            if having:
                cpu = median(one.cpu[name] for one in having)
                resident = median(one.memory[name].resident for one in having) / MIB
                shared_out = median(one.memory[name].shared_out for one in having) / MIB
                rows.append([name, which, f"{cpu:.1f}", f"{resident:.0f}", f"{shared_out:.0f}"])
    return table(["process", "", "processor seconds", "RSS, MiB", "PSS, MiB"], rows)


def _all_shared_out(start: Start) -> float:
    return sum(one.shared_out for one in start.memory.values()) / MIB


def _medians(starts: Starts, figure: Callable[[Start], float], form: str) -> list[str]:
    return [form.format(median(figure(one) for one in which)) for which in starts.values()]
