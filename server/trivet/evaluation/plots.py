"""An evaluation's plots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trivet.svg import open_svg, svg_line, svg_text, ticks

_LEFT, _WIDTH, _ROW, _RIGHT, _TOP, _BOTTOM = 170, 460, 26, 160, 10, 34


@dataclass(frozen=True, slots=True)
class Mark:
    """One row: a value with its interval, and how it is written. `strong` sets it off."""

    name: str
    value: float
    low: float | None
    high: float | None
    written: str
    strong: bool = False


def dot_plot(marks: Sequence[Mark], *, unit: str, span: tuple[float, float], line: float | None = None) -> str:
    """Values with whiskers, one row each, on a linear axis over `span`. `line`: where to draw a vertical line."""
    low, high = _axis(marks, span, line)
    height = _TOP + _ROW * len(marks) + _BOTTOM

    def x(value: float) -> float:
        return _LEFT + _WIDTH * (value - low) / (high - low)

    parts = [open_svg(_LEFT + _WIDTH + _RIGHT, height)]
    for tick in ticks(low, high):
        parts.append(svg_line(x(tick), _TOP, x(tick), height - _BOTTOM, "grid"))
        parts.append(svg_text(x(tick), height - _BOTTOM + 16, f"{tick:g}", "tick", "middle"))
    if line is not None:
        parts.append(svg_line(x(line), _TOP, x(line), height - _BOTTOM, "zero"))
    for number, mark in enumerate(marks):
        y = _TOP + _ROW * (number + 0.5)
        kind = "strong" if mark.strong else "plain"
        parts.append(svg_text(_LEFT - 10, y + 4, mark.name, f"name {kind}", "end"))
        if mark.low is not None and mark.high is not None:
            parts.append(svg_line(x(mark.low), y, x(mark.high), y, f"whisker {kind}"))
        parts.append(f'<circle class="dot {kind}" cx="{x(mark.value):.1f}" cy="{y}" r="5"/>')
        parts.append(svg_text(_LEFT + _WIDTH + 12, y + 4, mark.written, "tick", "start"))
    parts.append(svg_text(_LEFT + _WIDTH / 2, height - 3, unit, "tick", "middle"))
    return "".join([*parts, "</svg>"])


def scatter_plot(marks: Sequence[tuple[str, float, float, bool]], *, across: str, up: str) -> str:
    """(name, x, y, strong): `x` on a logarithmic axis if it spans more than a factor of 5, `y` from 0 to 100."""
    height, top, bottom = 340, 16, 300
    values = [x for _, x, _, _ in marks]
    logarithmic = min(values) > 0 and max(values) / min(values) > 5
    scaled = [math.log10(value) if logarithmic else value for value in values]
    pad = (max(scaled) - min(scaled)) * 0.08 or 0.5
    low, high = min(scaled) - pad, max(scaled) + pad
    parts = [open_svg(_LEFT + _WIDTH + _RIGHT, height)]
    for tick in (0, 25, 50, 75, 100):
        y = bottom - (bottom - top) * tick / 100
        parts.append(svg_line(_LEFT, y, _LEFT + _WIDTH, y, "grid"))
        parts.append(svg_text(_LEFT - 8, y + 4, str(tick), "tick", "end"))
    for value in _decades(low, high) if logarithmic else ticks(low, high):
        x = _LEFT + _WIDTH * ((math.log10(value) if logarithmic else value) - low) / (high - low)
        parts.append(svg_text(x, bottom + 18, f"{value:g}", "tick", "middle"))
    labels: list[tuple[float, float, int]] = []
    for (name, _, y_value, strong), place in zip(marks, scaled, strict=True):
        x = _LEFT + _WIDTH * (place - low) / (high - low)
        y = bottom - (bottom - top) * y_value / 100
        kind = "strong" if strong else "plain"
        parts.append(f'<circle class="dot {kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
        label_y = _free(labels, x, y + 4, len(name))
        parts.append(svg_text(x + 9, label_y, name, f"name {kind}", "start"))
    parts.append(svg_text(_LEFT + _WIDTH / 2, height - 4, across, "tick", "middle"))
    parts.append(svg_text(_LEFT - 40, top + 4, up, "tick", "end"))
    return "".join([*parts, "</svg>"])


def _free(labels: list[tuple[float, float, int]], x: float, y: float, length: int) -> float:
    """The nearest height at or above `y` where a label of so many characters covers none of `labels`; adds it there."""
    width, line = 7.0, 13.0  # of a character and a line, about

    def taken(height: float) -> bool:
        return any(
            abs(height - other_y) < line and x < other_x + width * other and other_x < x + width * length
            for other_x, other_y, other in labels
        )

    while taken(y):
        y -= line
    labels.append((x, y, length))
    return y


def _decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between 10^low and 10^high."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    values = (round(factor * 10**power, 10) for power in powers for factor in (1.0, 2.0, 5.0))
    return [value for value in values if 10**low <= value <= 10**high]


def _axis(marks: Sequence[Mark], span: tuple[float, float], line: float | None) -> tuple[float, float]:
    """At least `span`, and room for every whisker."""
    ends = [*span, *([] if line is None else [line])]
    for mark in marks:
        ends += [end for end in (mark.value, mark.low, mark.high) if end is not None]
    low, high = min(ends), max(ends)
    return (low, high) if high > low else (low - 1, high + 1)
