"""A small part of the quality benchmark: questions of the Python FAQ among pages of its library.

The text is fetched when the test runs and is in no repository; where it cannot be had, the test is skipped and says so.
`benchmarks/retrieval_quality/` asks the whole manual.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.progress import Progress

from benchmarks.retrieval_quality.report import scores
from benchmarks.retrieval_quality.run import fill, search_all
from benchmarks.searching.halves import DENSE, HYBRID, TERMS
from benchmarks.searching.index_folder import indexes_in
from benchmarks.searching.python_docs import (
    IDENTIFIERS,
    QUESTIONS,
    Query,
    Unavailable,
    entries,
    fetch,
    identifiers,
    questions,
    read,
)

pytestmark = pytest.mark.embedding

PAGES = ("faq/general", "faq/library", "faq/design", "library/bisect", "library/heapq", "library/queue", "library/abc")
NAMES = 30
# Well below what was measured, so that a change of a word or two in another version of the package does not matter.
LEAST = {QUESTIONS: 0.85, IDENTIFIERS: 0.85}
SLACK = 0.03  # hybrid may be so much below the better half: a question or two of these few


@pytest.fixture(scope="module")
def sources(pytestconfig: pytest.Config) -> Path:
    """The manual's sources, kept between runs."""
    assert pytestconfig.cache is not None
    try:
        return fetch(pytestconfig.cache.mkdir("python-docs"))
    except Unavailable as error:
        pytest.skip(f"the Python manual cannot be fetched: {error}")


@pytest.mark.timeout(600)
async def test_hybrid_is_as_good_as_its_better_half(sources: Path, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    assert pytestconfig.cache is not None
    cache = tmp_path / "data" / "cache"
    cache.mkdir(parents=True)
    (cache / "embedding").symlink_to(pytestconfig.cache.mkdir("embedding"))
    sections = read(sources, PAGES)
    queries = [*questions(sections), *identifiers(sections, NAMES)]
    assert len(queries) > 90
    async with indexes_in(tmp_path, {"manual": ""}) as service:
        with Progress(disable=True) as bars:
            await fill(service, "manual", entries(sections), bars)
            ranks = await search_all(service, "manual", queries, bars)
    for kind in (QUESTIONS, IDENTIFIERS):
        by_mode = {mode: _recall_at_ten(queries, ranks[mode], kind) for mode in (DENSE, TERMS, HYBRID)}
        assert by_mode[HYBRID] >= max(by_mode.values()) - SLACK, (kind, by_mode)
        assert by_mode[HYBRID] >= LEAST[kind], (kind, by_mode)


def _recall_at_ten(queries: list[Query], ranks: list[int | None], kind: str) -> float:
    chosen = [rank for query, rank in zip(queries, ranks, strict=True) if query.kind == kind]
    return float(scores(chosen)[:, 1].mean())
