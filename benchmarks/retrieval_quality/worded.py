"""Questions in other words: how well each is answered, in one way or another."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from rich.progress import Progress

from benchmarks.retrieval_quality.report import DEPTH, SCORES, Ranks, difference, scores, with_interval
from benchmarks.searching.python_docs import Query
from trivet.errors import RetrievalUnavailable
from trivet.evaluation.statistics import Bootstrap
from trivet.retrieval.service import IndexService
from trivet.types.passage import Passage, SearchQuery

_TRIES = 60


async def ranks_of(service: IndexService, index: str, queries: Sequence[Query], bars: Progress, what: str) -> Ranks:
    """The rank of the first right passage of each query."""
    if (spelling := service.indexes[index].live.spelling) is not None:
        await spelling.read()  # which would be a minute after the words were written
    ranks: Ranks = []
    for query in bars.track(queries, description=what):
        found = await found_for(service, index, query.text)
        ranks.append(rank_of(query, [(one.document_id, one.text) for one in found]))
    return ranks


async def found_for(service: IndexService, index: str, text: str) -> Sequence[Passage]:
    """The first passages of a search of nobody in particular.

    Again where the engine is late on a machine that does other work too: what is found is measured, not how fast.
    """
    for _ in range(_TRIES):
        with suppress(RetrievalUnavailable):
            return (await service.search(SearchQuery(index, text, "", DEPTH))).passages
        await asyncio.sleep(1)
    raise RetrievalUnavailable(f"the vector engine was late {_TRIES} times")


def table(named: Mapping[str, Ranks], against: str) -> list[str]:
    """Scores of each way, and its differences from the way `against`, paired by query."""
    lines = [
        "| way | " + " | ".join(SCORES) + f" | MRR@10, difference from {against} |",
        "|---" * (len(SCORES) + 2) + "|",
    ]
    base = scores(named[against])
    bootstrap = Bootstrap(len(base))
    for way, ranks in named.items():
        values = scores(ranks)
        cells = [with_interval(bootstrap, values[:, column]) for column in range(len(SCORES))]
        other = "" if way == against else difference(bootstrap, values[:, -1] - base[:, -1])
        lines.append(f"| {way} | {' | '.join(cells)} | {other} |")
    return lines


def rank_of(query: Query, hits: Sequence[tuple[str, str]]) -> int | None:
    return next((rank for rank, (document, text) in enumerate(hits, 1) if query.answered_by(document, text)), None)
