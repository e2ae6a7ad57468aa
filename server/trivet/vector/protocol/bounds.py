"""How much one call may ask for: the calls of others wait until it is done. Beyond is a ValueError, before any work."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

MAX_FOUND = 10_000  # points of an answer
MAX_IDS = 10_000
MAX_CONDITIONS = 16_384  # of a filter, each value that a field is compared with and each id counted
MAX_DEPTH = 8  # of filters in filters, and of prefetches in prefetches
MAX_STAGES = 16  # prefetches of a query
MAX_QUERIES = 64  # of a batch


def check_found(limit: int) -> int:
    """The limit, if so many points may be asked for."""
    return _at_most(limit, MAX_FOUND, "limit")


def check_ids(ids: Sized) -> None:
    """How many ids are asked for."""
    _at_most(len(ids), MAX_IDS, "ids")


def check_batch(queries: Sized) -> None:
    """How many queries come at once."""
    _at_most(len(queries), MAX_QUERIES, "queries")


def check_filter(message: Any) -> None:
    """Conditions of a Filter, and how deep they lie. Level by level, so that depth costs no stack."""
    level, depth, conditions = [message], 0, 0
    while level:
        depth = _at_most(depth + 1, MAX_DEPTH, "filters in filters")
        here = [one for part in level for group in (part.must, part.should, part.must_not) for one in group]
        conditions = _at_most(conditions + sum(map(_size, here)), MAX_CONDITIONS, "conditions of a filter")
        level = [one.filter for one in here if one.WhichOneof("condition_one_of") == "filter"]


def check_stages(message: Any) -> None:
    """Prefetches of a QueryPoints, and how deep they lie."""
    level, depth, stages = list(message.prefetch), 0, 0
    while level:
        depth = _at_most(depth + 1, MAX_DEPTH, "prefetches in prefetches")
        stages = _at_most(stages + len(level), MAX_STAGES, "prefetches")
        level = [one for stage in level for one in stage.prefetch]


def _size(condition: Any) -> int:
    kind = condition.WhichOneof("condition_one_of")
    if kind == "has_id":
        return 1 + len(condition.has_id.has_id)
    if kind != "field":
        return 1
    match = condition.field.match
    texts = len(match.keywords.strings) + len(match.except_keywords.strings)
    return 1 + texts + len(match.integers.integers) + len(match.except_integers.integers)


def _at_most(number: int, most: int, what: str) -> int:
    if number > most:
        raise ValueError(f"{what}: expected at most {most:,}, got {number:,}")
    return number
