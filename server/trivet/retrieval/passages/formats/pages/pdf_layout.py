"""The pieces of text on a page in the order in which they are read: rows from the top, columns one after the other.

Neighbouring lines that leave the same gutters free belong together. Where prose stands between the gutters it is read
column by column; anything else, such as a table, line by line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

_MOST_PIECES = 5_000  # of one page: one with more is read in the order in which it was written
_LEAST_LINES = 3  # that a column has
_LEAST_CHARACTERS = 20  # in a line of prose, on average: a table's cells are shorter
_GUTTER = 1.0  # heights of a letter: between columns
_BLANK = 0.12  # heights of a letter: between two pieces of a line that are two words
_SAME_LINE = 0.5  # of the smaller height: so much two pieces of a line share
_PARAGRAPH = 1.5  # usual distances of lines: beyond it a paragraph ends

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text and its box in points; `bottom` is below `top`."""

    text: str
    left: float
    bottom: float
    right: float
    top: float


Line = list[Piece]


def page_text(pieces: Sequence[Piece]) -> str:
    """The page's text: a line end between lines, an empty line between paragraphs and between columns."""
    pieces = [piece for piece in pieces if piece.text.strip()]
    if not pieces:
        return ""
    if len(pieces) > _MOST_PIECES:
        return "\n".join(piece.text.strip() for piece in pieces)
    height = max(median(piece.top - piece.bottom for piece in pieces), 1.0)
    blocks = _blocks(_lines(pieces), _GUTTER * height)
    return "\n\n".join(text for block in blocks if (text := _block_text(block, _BLANK * height)))


def _lines(pieces: Sequence[Piece]) -> list[Line]:
    """From the top; each from the left."""
    lines: list[Line] = []
    for piece in sorted(pieces, key=lambda one: -(one.top + one.bottom)):
        if lines and _on_one_line(lines[-1][0], piece):
            lines[-1].append(piece)
        else:
            lines.append([piece])
    return [sorted(line, key=lambda one: one.left) for line in lines]


def _on_one_line(one: Piece, other: Piece) -> bool:
    shared = min(one.top, other.top) - max(one.bottom, other.bottom)
    return shared > _SAME_LINE * min(one.top - one.bottom, other.top - other.bottom)


def _blocks(lines: Sequence[Line], gutter: float) -> Iterator[list[Line]]:
    """Parts with one column each, in reading order."""
    plain: list[Line] = []
    for region in _regions(lines, gutter):
        columns = _columns(region, gutter)
        if len(columns) == 1:
            plain += region
            continue
        if plain:
            yield plain
            plain = []
        yield from columns
    if plain:
        yield plain


def _regions(lines: Sequence[Line], gutter: float) -> Iterator[list[Line]]:
    """Neighbouring lines together while they leave a gutter free that has text on both of its sides."""
    region: list[Line] = []
    free: list[Interval] = []
    for line in lines:
        own = _gaps([line])
        common = _common(free, own, gutter)
        if region and not _inner(common):
            yield region
            region, common = [], own
        region.append(line)
        free = common
    if region:
        yield region


def _columns(region: Sequence[Line], gutter: float) -> list[list[Line]]:
    """The columns of prose in a region; the region itself if there are none."""
    gaps = _gaps(region)
    inner = [gap for gap in _inner(gaps) if gap[1] - gap[0] >= gutter]
    columns: list[list[Line]] = []
    for (_, left), (right, _) in pairwise([(0.0, float("-inf")), *inner, (float("inf"), 0.0)]):
        column = [[piece for piece in line if left <= piece.left < right] for line in region]
        columns.append([line for line in column if line])
    return columns if all(_is_prose(column) for column in columns) else [list(region)]


def _is_prose(column: Sequence[Line]) -> bool:
    lengths = [sum(len(piece.text) for piece in line) for line in column]
    return len(lengths) >= _LEAST_LINES and fmean(lengths) >= _LEAST_CHARACTERS


def _gaps(lines: Sequence[Line]) -> list[Interval]:
    """What no piece of any of the lines covers, from the left; the first and the last one have no end."""
    gaps, at = [], float("-inf")
    for piece in sorted((piece for line in lines for piece in line), key=lambda one: one.left):
        if piece.left > at:
            gaps.append((at, piece.left))
        at = max(at, piece.right)
    return [*gaps, (at, float("inf"))]


def _inner(gaps: Sequence[Interval]) -> Sequence[Interval]:
    """Those with text on both sides."""
    return gaps[1:-1]


def _common(some: Sequence[Interval], others: Sequence[Interval], least: float) -> list[Interval]:
    """What is in both, where it is wide enough. Both are sorted."""
    common = []
    n = m = 0
    while n < len(some) and m < len(others):
        low, high = max(some[n][0], others[m][0]), min(some[n][1], others[m][1])
        if high - low >= least:
            common.append((low, high))
        if some[n][1] < others[m][1]:
            n += 1
        else:
            m += 1
    return common


def _block_text(block: Sequence[Line], blank: float) -> str:
    distances = [above[0].bottom - below[0].bottom for above, below in pairwise(block)]
    usual = median(distances) if distances else 0.0
    parts = [_line_text(block[0], blank)]
    for line, distance in zip(block[1:], distances, strict=True):
        parts += ("\n\n" if distance > _PARAGRAPH * usual else "\n", _line_text(line, blank))
    return "".join(parts).strip()


def _line_text(line: Line, blank: float) -> str:
    parts = [line[0].text]
    for before, piece in pairwise(line):
        parts += (" " if piece.left - before.right > blank else "", piece.text)
    return " ".join("".join(parts).split(" ")).strip()
