"""Asking an index all questions, in each way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.progress import Progress

from benchmarks.retrieval_quality.report import DEPTH, Ranks
from benchmarks.retrieval_quality.worded import found_for
from benchmarks.searching.halves import DENSE, HYBRID, TERMS, Hit, client_of, leg
from benchmarks.second_manual.manual import Manual, Question
from trivet.retrieval.service import IndexService
from trivet.types.passage import Document

PAGE, PASSAGE = "page", "passage"


@dataclass(frozen=True, slots=True)
class Asked:
    """By mode, what each question's first right hit has for a rank, as a page and as a passage; None beyond DEPTH."""

    pages: dict[str, Ranks]
    passages: dict[str, Ranks]


@dataclass(frozen=True, slots=True)
class Measured:
    """What one manual gave. `results`, `passages`: by arm, the first of which is the default; `spelt`: by way."""

    manual: Manual
    questions: list[Question]
    results: dict[str, Asked]
    passages: dict[str, int]
    spelt: dict[str, Ranks]


async def fill(service: IndexService, index: str, documents: Sequence[Document], bars: Progress) -> None:
    """Upsert every page; vectors of texts that another index has embedded come from the cache."""
    for document in bars.track(documents, description=f"index {index}"):
        await service.upsert(index, document)


async def ask(service: IndexService, index: str, questions: Sequence[Question], bars: Progress) -> Asked:
    """Hybrid and both halves."""
    snapshot = service.indexes[index].live
    asked = Asked({mode: [] for mode in (HYBRID, DENSE, TERMS)}, {mode: [] for mode in (HYBRID, DENSE, TERMS)})
    async with client_of(snapshot) as client:
        for question in bars.track(questions, description=f"ask {index}"):
            hits = {mode: await leg(client, snapshot, mode, question.text, DEPTH) for mode in (DENSE, TERMS)}
            hits[HYBRID] = await _hybrid(service, index, question.text)
            for mode, found in hits.items():
                asked.pages[mode].append(rank(question.on_page(hit.document) for hit in found))
                asked.passages[mode].append(rank(question.answered_by(hit.document, hit.text) for hit in found))
    return asked


async def ask_hybrid(service: IndexService, index: str, questions: Sequence[Question], bars: Progress) -> Ranks:
    """The ranks of passages that answer, by `IndexService.search` alone."""
    if (spelling := service.indexes[index].live.spelling) is not None:
        await spelling.read()  # which would be a minute after the words were written
    ranks: Ranks = []
    for question in bars.track(questions, description=f"ask {index}"):
        found = await _hybrid(service, index, question.text)
        ranks.append(rank(question.answered_by(hit.document, hit.text) for hit in found))
    return ranks


def rank(right: Iterable[bool]) -> int | None:
    """Of the first hit that is right, from 1."""
    return next((place for place, one in enumerate(right, 1) if one), None)


async def _hybrid(service: IndexService, index: str, text: str) -> list[Hit]:
    return [Hit(one.document_id, one.text) for one in await found_for(service, index, text)]
