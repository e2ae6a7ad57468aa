"""Tables of HTML as lines of text: cells that span rows or columns are said again in each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

BETWEEN_CELLS = " | "
_MOST_SPAN = 1000  # as browsers have it
_MOST_REPEATED = 500_000  # characters and cells that spans may add to one document


_Reaching = tuple[str, int]  # a cell's text, and how many more rows it reaches into


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. `columns`, `rows`: how many of each it spans, 1 or more."""

    text: str
    heading: bool = False
    columns: int = 1
    rows: int = 1


@dataclass(slots=True)
class Row:
    """A row while it is read; one of the `thead` that a table begins with is its `head`."""

    head: bool = False
    cells: list[Cell] = field(default_factory=list)


@dataclass(slots=True)
class Grid:
    """A table while it is read."""

    caption: str = ""
    rows: list[Row] = field(default_factory=list)


class SpanBudget:
    """What spans may still add to one document: beyond it a cell is said once."""

    def __init__(self) -> None:
        self._left = _MOST_REPEATED

    def take(self, text: str, times: int) -> bool:
        """Whether a cell's text may be said so many times more."""
        cost = times * (len(text) + len(BETWEEN_CELLS))
        if cost > self._left:
            return False
        self._left -= cost
        return True


def span(value: str | None) -> int:
    """The number in a `rowspan` or `colspan`; 1 for what is none."""
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 6:
        return 1
    return max(1, min(_MOST_SPAN, int(value)))


def table_lines(grid: Grid, budget: SpanBudget) -> tuple[list[str], list[str]]:
    """The header's lines (a caption, and one that names the columns) and a line for each further row."""
    rows = [row.cells for row in grid.rows if row.cells]
    heads = sum(row.head for row in grid.rows if row.cells)
    if not heads and rows and all(cell.heading for cell in rows[0]):
        heads = 1
    expanded = list(_expanded(rows, budget))
    names = _joined(expanded[:heads])
    header = [line for line in (grid.caption, BETWEEN_CELLS.join(names)) if line.strip(" |")]
    lines = [
        # A cell over the whole row is a title between others.
        row[0].text if len(row) == 1 and {*texts} == {row[0].text} else BETWEEN_CELLS.join(texts)
        for row, texts in zip(rows[heads:], expanded[heads:], strict=True)
    ]
    return header, [line for line in lines if line.strip(" |")]


def _expanded(rows: Sequence[Sequence[Cell]], budget: SpanBudget) -> Iterator[list[str]]:
    """Each row's texts by column."""
    reaching: dict[int, _Reaching] = {}  # by column
    for row in rows:
        texts: list[str] = []
        below: dict[int, _Reaching] = {}
        for cell in row:
            _take_from_above(reaching, texts, below, budget)
            columns = cell.columns if budget.take(cell.text, cell.columns - 1) else 1
            for _ in range(columns):
                if cell.rows > 1:
                    below[len(texts)] = (cell.text, cell.rows - 1)
                texts.append(cell.text)
        _take_from_above(reaching, texts, below, budget)
        reaching = {column: cell for column, cell in reaching.items() if column >= len(texts)} | below
        yield texts


def _take_from_above(
    reaching: dict[int, _Reaching], texts: list[str], below: dict[int, _Reaching], budget: SpanBudget
) -> None:
    """Fill the next columns with the cells of earlier rows that reach into them."""
    while (cell := reaching.pop(len(texts), None)) is not None:
        text, left = cell
        if not budget.take(text, 1):
            reaching.clear()  # nothing reaches any further: rows of empty cells would cost as much
            below.clear()
            return
        if left > 1:
            below[len(texts)] = (text, left - 1)
        texts.append(text)


def _joined(heads: Sequence[Sequence[str]]) -> list[str]:
    """The names of the columns: what stands above each, from the top, without saying a thing twice."""
    width = max((len(texts) for texts in heads), default=0)
    return [" ".join(dict.fromkeys(texts[n] for texts in heads if n < len(texts) and texts[n])) for n in range(width)]
