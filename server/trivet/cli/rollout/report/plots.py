"""The report's plots over time: the candidate's share, and a guardrail's estimate with its bounds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trivet.svg import open_svg, svg_line, svg_text, ticks

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 460, 44, 12, 24, 40
_UNITS = ((86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
_SETTLED = 0.25  # of a trace's points: the first ones, whose bounds are far out, do not stretch the axis


@dataclass(frozen=True, slots=True)
class Point:
    """A look. `at`: seconds since the rollout was made; the others in points (or, of the smoke rule, logarithms)."""

    at: float
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """A test's looks in one step, in the order of time."""

    step: int
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Share:
    """From `at` on (seconds since the rollout was made) the candidate has this share of the units."""

    at: float
    share: float
    label: str = ""


def share_plot(shares: Sequence[Share], *, end: float) -> str:
    """The candidate's share of the units, in percent, with what began when it changed."""
    height, area = 200, _Area(200, (0.0, max(end, 1.0)), (0.0, 100.0))
    parts = [open_svg(_WIDTH, height, "the candidate's share of the units over time"), *area.axes("% of the units")]
    corners: list[tuple[float, float]] = []
    for here, after in zip(shares, [*shares[1:], None], strict=False):
        until = end if after is None else after.at
        corners += [(area.x(here.at), area.y(100 * here.share)), (area.x(until), area.y(100 * here.share))]
    if corners:
        floor = [(corners[-1][0], area.y(0)), (corners[0][0], area.y(0))]
        parts.append(f'<polygon class="band" points="{_path([*corners, *floor])}"/>')
        parts.append(f'<polyline class="trace" points="{_path(corners)}"/>')
    parts += [svg_line(area.x(one.at), _TOP, area.x(one.at), area.bottom, "change") for one in shares]
    return "".join([*parts, "</svg>"])


def trace_plot(traces: Sequence[Trace], *, end: float, line: float, unit: str, title: str) -> str:
    """Estimates with their bounds, begun anew with each step. `line`: what they are held against."""
    height = 210
    area = _Area(height, (0.0, max(end, 1.0)), _span(traces, line))
    parts = [open_svg(_WIDTH, height, title), *area.axes(unit)]
    for trace in traces:
        banded = [point for point in trace.points if point.low is not None and point.high is not None]
        upper = [(area.x(point.at), area.y(point.high or 0.0)) for point in banded]
        lower = [(area.x(point.at), area.y(point.low or 0.0)) for point in reversed(banded)]
        if len(banded) > 1:
            parts.append(f'<polygon class="band" points="{_path([*upper, *lower])}"/>')
        middle = [(area.x(point.at), area.y(point.value)) for point in trace.points]
        parts.append(f'<polyline class="trace" points="{_path(middle)}"/>')
        if trace.points:
            first = area.x(trace.points[0].at)
            parts.append(svg_line(first, _TOP, first, area.bottom, "change"))
            parts.append(_end(area, trace.points[-1]))
    parts.append(svg_line(_LEFT, area.y(line), _WIDTH - _RIGHT, area.y(line), "limit"))
    return "".join([*parts, "</svg>"])


def _end(area: _Area, point: Point) -> str:
    x, parts = area.x(point.at), []
    if point.low is not None and point.high is not None:
        parts.append(svg_line(x, area.y(point.low), x, area.y(point.high), "whisker"))
    parts.append(f'<circle class="dot" cx="{x:.1f}" cy="{area.y(point.value):.1f}" r="3.5"/>')
    return "".join(parts)


class _Area:
    """Where values lie on the picture. What is outside of the axes is drawn at their edge."""

    def __init__(self, height: float, across: tuple[float, float], up: tuple[float, float]) -> None:
        self.bottom = height - _BOTTOM
        self._across, self._up = across, up

    def x(self, value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * _part(value, self._across)

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - _TOP) * _part(value, self._up)

    def axes(self, unit: str) -> Iterator[str]:
        """The grid, its numbers, and what they count."""
        for tick in ticks(*self._up):
            yield svg_line(_LEFT, self.y(tick), _WIDTH - _RIGHT, self.y(tick), "grid")
            yield svg_text(_LEFT - 6, self.y(tick) + 4, f"{tick:g}", "tick", "end")
        size, name = _time_unit(self._across[1])
        for tick in ticks(self._across[0] / size, self._across[1] / size):
            yield svg_text(self.x(tick * size), self.bottom + 16, f"{tick:g}", "tick", "middle")
        yield svg_text((_LEFT + _WIDTH - _RIGHT) / 2, self.bottom + 34, f"{name} since it was made", "tick", "middle")
        yield svg_text(0, 12, unit, "tick", "start")


def _part(value: float, span: tuple[float, float]) -> float:
    if math.isnan(value):
        return 0.0
    return min(max((value - span[0]) / (span[1] - span[0]), 0.0), 1.0)


def _time_unit(seconds: float) -> tuple[float, str]:
    return next(((size, name) for size, name in _UNITS if seconds >= 2 * size), _UNITS[-1])


def _span(traces: Sequence[Trace], line: float) -> tuple[float, float]:
    """The line, every estimate and the bounds of all looks but a step's first ones, with a margin."""
    values = [line]
    for trace in traces:
        settled = trace.points[int(len(trace.points) * _SETTLED) :]
        values += [end for point in settled for end in (point.low, point.high) if end is not None]
        values += [point.value for point in settled]
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite), max(finite)
    margin = (high - low) * 0.08 or 1.0
    return low - margin, high + margin


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
