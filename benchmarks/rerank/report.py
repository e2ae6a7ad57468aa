"""From measurements of reranking to tables."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring.machine import machine_lines
from benchmarks.measuring.percentiles import percentile
from benchmarks.measuring.tables import table

PLAIN = "CrossEncoder"
ENOUGH = 0.99  # of the calls in time
Cell = dict[str, Any]
Scores = Mapping[str, NDArray[np.float64]]


def report(described: Mapping[str, Any], tables: Mapping[str, Sequence[Cell]]) -> str:
    """Markdown; a table's rows have the same columns."""
    lines = ["# Reranking", "", *machine_lines(described)]
    for title, rows in tables.items():
        cells = [[f"{cell:.0%}" if name == "in time" else cell for name, cell in row.items()] for row in rows]
        lines += ["", f"## {title}", "", *table(list(rows[0]), cells)]
    return "\n".join(lines)


def time_row(names: Sequence[str], took: NDArray[np.float64]) -> Cell:
    """Percentiles of the times (systems, questions), and their ratios to those of the first system."""
    row: Cell = {}
    for name, each in zip(names, took, strict=True):
        row[name] = f"{np.median(each):.1f}, p99 {percentile(list(each), 0.99):.1f}"
        if name != names[0]:
            row[f"{name} ratio"] = f"{np.median(each / took[0]):.2f}"
    return row


def fitting(kept: Sequence[Cell]) -> Iterator[Cell]:
    """For each precision and number at once, the most candidates that are in time, as all fewer that were tried are.

    `kept` by rising number of candidates.
    """
    for precision, together in dict.fromkeys((row["precision"], row["at once"]) for row in kept):
        rows = [row for row in kept if (row["precision"], row["at once"]) == (precision, together)]
        fitting = list(itertools.takewhile(lambda row: row["in time"] >= ENOUGH, rows))
        most = fitting[-1]["candidates"] if fitting else f"fewer than {rows[0]['candidates']}"
        yield {**{key: rows[0][key] for key in ("model", "passages", "tokens", "precision", "at once")}, "fit": most}


def agreement(scores: Scores, first: int) -> Cell:
    """How far the scores and the order of int8 are those of float32, and how far apart float32's scores are."""
    whole, small = scores["float32"], scores["int8"]
    above, below = np.triu_indices(whole.shape[1], 1)
    pairs = [np.sign(each[:, above] - each[:, below]) for each in (whole, small)]
    firsts = [np.argsort(-each, axis=1)[:, :first] for each in (whole, small)]
    shared = np.mean([len(set(a) & set(b)) for a, b in zip(*firsts, strict=True)])
    return {
        "float32 to CrossEncoder, most": f"{np.abs(whole - scores[PLAIN]).max():.0e}",
        "spread of float32": f"{whole.std(axis=1).mean():.4f}",
        "int8 to float32, most": f"{np.abs(small - whole).max():.4f}",
        "Kendall's tau": f"{(pairs[0] * pairs[1]).mean():.2f}",
        f"of the first {first} the same": f"{shared:.1f}",
    }
