"""The tables of one and of several front ends over a paced engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

from benchmarks.measuring.percentiles import percentile
from benchmarks.measuring.tables import table
from benchmarks.paced.engine import NAME as PACED
from benchmarks.paced.layouts import ENGINE, FRONT_END, PARENT
from benchmarks.paced.loaders import LOAD, OTHERS, Window

NONE = "none"
KEY = ("pace", "tokens an answer", "streams", "front ends")
COST = (*KEY, "front ends, all", "of each", ENGINE, PARENT, "all of them",
        "front ends' ceiling tokens/s", "engine process's")  # fmt: skip
SEEN = (*KEY, "tokens/s", "messages an answer", "gap p50 / p99 ms", "TTFT p50 / p99 ms",
        "beside the receipt p50 / p99 ms", "loop late p99 s, of each", "connections", "answers",
        "cancelled")  # fmt: skip
SHARES = (*KEY, FRONT_END + "s", ENGINE, PARENT, PACED, LOAD, OTHERS, "together")


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """What a row is about."""

    pace: int
    tokens: int
    streams: int
    front_ends: int

    def cells(self) -> tuple[str, ...]:
        """As the row begins."""
        return f"{self.pace:,}", str(self.tokens), f"{self.streams:,}", str(self.front_ends)


def sections(found: Mapping[Case, Sequence[Window]]) -> Iterator[str]:
    """Three tables; the windows of a case one after the other, times between messages and to the first of all."""
    parts = (
        ("Processor time", "Seconds of processor for 1,000 tokens of the server's.", COST, _cost),
        ("What clients saw", "", SEEN, _seen),
        ("Who shares the processor cores", "Seconds of processor a second; mean of the windows.", SHARES, _shares),
    )
    for title, told, head, row in parts:
        yield from ("", f"## {title}", "", *([told, ""] if told else []))
        yield from table(head, [(*case.cells(), *row(found[case])) for case in sorted(found)])


def _cost(windows: Sequence[Window]) -> tuple[str, ...]:
    several = len(windows[0].costs()) > 1
    server = [one.cost(FRONT_END) + one.cost(ENGINE) + one.cost(PARENT) for one in windows]
    return (
        _each(windows, lambda one: f"{one.cost(FRONT_END):.4f}"),
        _each(windows, lambda one: " + ".join(f"{cost:.4f}" for cost in one.costs())) if several else NONE,
        _each(windows, lambda one: f"{one.cost(ENGINE):.4f}") if several else NONE,
        _each(windows, lambda one: f"{one.cost(PARENT):.4f}") if several else NONE,
        ", ".join(f"{one:.4f}" for one in server),
        _each(windows, lambda one: f"{1000 / max(one.costs()):,.0f}"),
        _each(windows, lambda one: f"{1000 / one.cost(ENGINE):,.0f}") if several else NONE,
    )


def _seen(windows: Sequence[Window]) -> tuple[str, ...]:
    return (
        _each(windows, lambda one: f"{one.tokens_per_second:,.0f}"),
        _each(windows, lambda one: f"{1 + len(one.gaps_ms) / max(1, one.answers):.1f}"),
        _spread([gap for one in windows for gap in one.gaps_ms]),
        _spread([ms for one in windows for ms in one.first_ms]),
        _spread([ms for one in windows for ms in one.outside_ms]),
        _each(windows, lambda one: " + ".join(f"{late:g}" for late in one.late)),
        _each(windows, lambda one: " + ".join(str(number) for number in one.connections)),
        f"{sum(one.answers for one in windows):,}",
        f"{sum(one.cancelled for one in windows):,}",
    )


def _shares(windows: Sequence[Window]) -> tuple[str, ...]:
    used = [
        mean(sum(cores for name, cores in one.cores.items() if name.startswith(kind)) for one in windows)
        for kind in (FRONT_END, ENGINE, PARENT, PACED, LOAD, OTHERS)
    ]
    return tuple(f"{cores:.2f}" for cores in (*used, sum(used)))


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.0f} / {percentile(values, 0.99):.0f}" if values else NONE


def _each(windows: Sequence[Window], told: Callable[[Window], str]) -> str:
    return ", ".join(map(told, windows))
