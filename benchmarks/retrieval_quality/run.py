"""Filling an index with the manual and asking it everything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rich.progress import Progress

from benchmarks.retrieval_quality.report import DEPTH, Ranks
from benchmarks.searching.halves import DENSE, HYBRID, TERMS, Hit, client_of, leg, searched_for
from benchmarks.searching.python_docs import Entry, Query
from trivet.retrieval.service import IndexService
from trivet.types.passage import Document, DocumentFormat

_WRITERS = 4  # so that a write's waiting is not ours


async def fill(service: IndexService, index: str, entries: Sequence[Entry], bars: Progress) -> None:
    """Upsert every section; what is there already is not embedded again."""
    task = bars.add_task(f"index {index}", total=len(entries))
    waiting = iter(entries)

    async def write() -> None:
        for entry in waiting:
            await service.upsert(index, Document(entry.id, entry.text.encode(), DocumentFormat.TEXT, title=entry.title))
            bars.advance(task)

    await asyncio.gather(*(write() for _ in range(_WRITERS)))


async def search_all(service: IndexService, index: str, queries: Sequence[Query], bars: Progress) -> dict[str, Ranks]:
    """By mode, the rank (from 1) of the first right passage of each query, None beyond the tenth."""
    snapshot = service.indexes[index].live
    ranks: dict[str, Ranks] = {DENSE: [], TERMS: [], HYBRID: []}
    task = bars.add_task(f"ask {index}", total=len(queries))
    async with client_of(snapshot) as client:
        for query in queries:
            for mode in (DENSE, TERMS):
                ranks[mode].append(_rank(query, await leg(client, snapshot, mode, query.text, DEPTH)))
            found = (await service.search(searched_for(index, query.text, DEPTH))).passages
            ranks[HYBRID].append(_rank(query, [Hit(one.document_id, one.text) for one in found]))
            bars.advance(task)
    return ranks


def _rank(query: Query, hits: Sequence[Hit]) -> int | None:
    return next((rank for rank, hit in enumerate(hits, 1) if query.answered_by(hit.document, hit.text)), None)
