"""Newer documents first: a third list that is fused with the two of a search."""

from __future__ import annotations

from collections.abc import Sequence

from trivet.retrieval.settings import RecencySettings
from trivet.stores.records import FoundPassage


def with_recency(
    found: Sequence[FoundPassage], settings: RecencySettings, rrf_k: int, now: float
) -> list[FoundPassage]:
    """The passages with their scores raised, in the order that they came in.

    The newest of them is first in the third list, and its rank counts as in the engine's own fusion, 1 / ((rank + 1) /
    weight + `rrf_k` - 1), but halved with each half-life of the document's age. So where everything is old, its order
    changes next to nothing. Passages without a date get nothing, and those of the same date share a rank.
    """
    moments = sorted({one.moment for one in found if one.moment is not None}, reverse=True)
    ranks = {moment: rank for rank, moment in enumerate(moments)}

    def part(moment: float) -> float:
        age = max(0.0, now - moment)
        halved: float = 0.5 ** (age / settings.half_life)
        return halved / ((ranks[moment] + 1) / settings.weight + rrf_k - 1)

    return [one if one.moment is None else one.scored(one.score + part(one.moment), part(one.moment)) for one in found]
