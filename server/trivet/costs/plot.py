"""A plot of groups' costs: one bar each, divided by component."""

from __future__ import annotations

from collections.abc import Sequence

from trivet.costs.groups import Group, Sums
from trivet.costs.money import NANO, usd
from trivet.svg import open_svg, svg_line, svg_text, ticks

_LEFT, _WIDTH, _RIGHT, _ROW, _TOP, _BOTTOM = 240, 480, 140, 26, 30, 40
_LONGEST = 36  # characters of a name
COLOURS = ("#0b6e99", "#7fb2c9", "#c77f2b", "#7a5ea8", "#4c8a4c", "#a04848")
STYLE = "".join(f"svg .part{number} {{ fill: {colour}; }}" for number, colour in enumerate(COLOURS))


def bar_plot(groups: Sequence[tuple[Group, Sums]]) -> str:
    """As SVG; the classes `part0`, `part1` ... colour the components (`STYLE`)."""
    components = sorted({name for _, sums in groups for name in sums.cost})
    most = max((sums.total for _, sums in groups), default=0) / NANO or 1.0
    height = _TOP + _ROW * len(groups) + _BOTTOM
    parts = [open_svg(_LEFT + _WIDTH + _RIGHT, height, "cost by group and component")]
    for number, name in enumerate(components):
        x = _LEFT + 90.0 * number
        parts.append(_bar(x, 6, 12, 12, number))
        parts.append(svg_text(x + 18, 16, name, "tick", "start"))
    for tick in ticks(0.0, most):
        x = _LEFT + _WIDTH * tick / most
        parts.append(svg_line(x, _TOP, x, height - _BOTTOM, "grid"))
        parts.append(svg_text(x, height - _BOTTOM + 16, f"{tick:g}", "tick", "middle"))
    for row, (group, sums) in enumerate(groups):
        parts += _row(_TOP + _ROW * row, group, sums, components, most)
    parts.append(svg_text(_LEFT + _WIDTH / 2, height - 4, "USD", "tick", "middle"))
    return "".join([*parts, "</svg>"])


def _row(y: float, group: Group, sums: Sums, components: Sequence[str], most: float) -> list[str]:
    name = " / ".join(group) or "all"
    shown = name if len(name) <= _LONGEST else name[: _LONGEST - 3] + "..."
    parts = [svg_text(_LEFT - 10, y + 17, shown, "name", "end")]
    x = float(_LEFT)
    for number, component in enumerate(components):
        width = _WIDTH * sums.cost[component] / NANO / most
        if width:
            parts.append(_bar(x, y + 5, width, _ROW - 10, number))
        x += width
    parts.append(svg_text(x + 8, y + 17, usd(sums.total), "tick", "start"))
    return parts


def _bar(x: float, y: float, width: float, height: float, number: int) -> str:
    kind = f"part{number % len(COLOURS)}"
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
