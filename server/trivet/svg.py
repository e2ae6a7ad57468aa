"""Parts of plots, as SVG text without any resource from elsewhere. A page's style sheet gives colours by class."""

from __future__ import annotations

import math
from html import escape


def open_svg(width: float, height: float, title: str = "") -> str:
    """The opening tag; `title` is read aloud to those who do not see the plot."""
    label = f' aria-label="{escape(title)}"' if title else ""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img"{label} '
        'xmlns="http://www.w3.org/2000/svg">'
    )


def svg_text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    """Text with its `anchor` ("start", "middle" or "end") at a point."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def svg_line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers between the two."""
    raw = (high - low) / 6
    size: float = 10 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]
