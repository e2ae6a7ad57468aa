"""What the benchmark of reranking makes of its measurements."""

from __future__ import annotations

import numpy as np

from benchmarks.rerank.report import PLAIN, Cell, agreement, fitting, time_row


def row(candidates: int, share: float, together: int = 1) -> Cell:
    where: Cell = {"model": "L2", "passages": "lines", "tokens": 90, "candidates": candidates}
    return {**where, "precision": "int8", "at once": together, "in time": share, "p50 ms": 1, "most ms": 2}


def test_what_fits_ends_where_calls_are_late() -> None:
    kept = [row(5, 1.0), row(5, 0.9, 4), row(10, 1.0), row(10, 1.0, 4), row(20, 0.9), row(50, 1.0)]
    assert [(one["at once"], one["fit"]) for one in fitting(kept)] == [(1, 10), (4, "fewer than 5")]


def test_agreement_of_orders() -> None:
    scores = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
    same = agreement({PLAIN: scores, "float32": scores, "int8": scores / 2}, 2)
    assert (same["Kendall's tau"], same["of the first 2 the same"]) == ("1.00", "2.0")
    swapped = scores[:, [1, 0, 2, 3]]  # one of six pairs
    assert agreement({PLAIN: scores, "float32": scores, "int8": swapped}, 2)["Kendall's tau"] == "0.67"
    opposite = agreement({PLAIN: scores, "float32": scores, "int8": -scores}, 2)
    assert (opposite["Kendall's tau"], opposite["of the first 2 the same"]) == ("-1.00", "0.0")


def test_ratios_are_of_the_same_question() -> None:
    took = np.array([[10.0, 100.0, 40.0], [5.0, 10.0, 30.0]])
    assert time_row((PLAIN, "int8"), took) == {PLAIN: "40.0, p99 100.0", "int8": "10.0, p99 30.0", "int8 ratio": "0.50"}
