"""Whether a new snapshot may take the live one's place."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trivet.errors import FailedPrecondition
from trivet.retrieval.snapshot.search import search
from trivet.retrieval.snapshot.snapshot import Snapshot
from trivet.stores.document_log import DocumentLog
from trivet.stores.log_entry import LogEntry
from trivet.stores.records import DocumentHead, DocumentKey, PointKind
from trivet.types.passage import SearchQuery

_DEPTH = 10
_QUESTIONS = 200
_TITLES = 50
_MAY_LOSE = 0.02  # of the questions that the live snapshot answers, and one question besides


@dataclass(frozen=True, slots=True)
class Question:
    """A text, and the document that should be among the first passages found for it."""

    text: str
    document_id: str
    tenant: str = ""


async def check_counts(snapshot: Snapshot, index: str, log: DocumentLog) -> None:
    """Raise FailedPrecondition unless the snapshot has exactly the log's documents, and their passages."""
    heads = await snapshot.store.heads(snapshot.collection)
    entries = await log.all_newest(index)
    wrong = await asyncio.to_thread(_differing, heads, entries)
    if wrong or len(heads) != len(entries):
        some = ", ".join(repr(key.id) for key in wrong[:3])
        raise FailedPrecondition(
            f"snapshot {snapshot.name} does not have the log's documents: {len(wrong)} of {len(entries)} differ "
            f"({some})"
        )
    expected = sum(head.passages for head in heads.values())
    found = await snapshot.store.count(snapshot.collection, PointKind.PASSAGE)
    staged = await snapshot.store.count(snapshot.collection, PointKind.STAGED)
    if (found, staged) != (expected, 0):
        raise FailedPrecondition(
            f"snapshot {snapshot.name} has {found} passages and {staged} that were never published, expected {expected}"
        )


async def check_recall(new: Snapshot, live: Snapshot, questions: Sequence[Question]) -> None:
    """Raise FailedPrecondition if the new snapshot answers notably fewer of the index's own questions."""
    before = [await _answers(live, question) for question in questions]
    after = [await _answers(new, question) for question in questions]
    if sum(after) < sum(before) - _MAY_LOSE * sum(before) - 1:
        lost = next(q for q, was, now in zip(questions, before, after, strict=True) if was and not now)
        raise FailedPrecondition(
            f"snapshot {new.name} answers {sum(after)} of the index's {len(questions)} questions, the live one "
            f"{sum(before)}; lost, for example: {lost.text[:80]!r}. The live snapshot stays"
        )


def own_questions(file: Path | None, entries: Sequence[LogEntry]) -> list[Question]:
    """The index's questions about documents that it has, and a sample of their titles; the same each time.

    Raises FailedPrecondition if the file is not lines of {"question", "document"}.
    """
    there = [entry for entry in entries if not entry.deleted]
    draw = random.Random(len(there))
    shared = {entry.document_id for entry in there if not entry.tenant}
    asked = [question for question in _read(file) if question.document_id in shared] if file is not None else []
    titled = [Question(entry.title, entry.document_id, entry.tenant) for entry in there if entry.title.strip()]
    return [*_some(draw, asked, _QUESTIONS), *_some(draw, titled, _TITLES)]


def _differing(heads: Mapping[DocumentKey, DocumentHead], entries: Sequence[LogEntry]) -> list[DocumentKey]:
    """The documents that the heads do not have as the log's newest entries do. Takes a while for many."""
    return [
        entry.key
        for entry in entries
        if (head := heads.get(entry.key)) is None or head.of != entry.of or head.deleted != entry.deleted
    ]


def _some(draw: random.Random, questions: list[Question], most: int) -> list[Question]:
    return questions if len(questions) <= most else draw.sample(questions, most)


def _read(file: Path) -> list[Question]:
    if not file.is_file():
        return []
    questions = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
            if item.get("document"):  # one without has no answer in the index
                questions.append(Question(str(item["question"]), str(item["document"])))
        except (ValueError, KeyError, AttributeError) as error:
            raise FailedPrecondition(f'{file.name}:{number}: expected {{"question", "document"}}: {error}') from error
    return questions


async def _answers(snapshot: Snapshot, question: Question) -> bool:
    query = SearchQuery("", question.text, question.tenant, _DEPTH)
    return any(passage.document_id == question.document_id for passage in await search(snapshot, query))
