"""A history of writes and searches, and what it shows. All times are of one clock that never goes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_TOPICS = ("swimming pool", "bicycle shed", "coffee machine", "rooftop garden")
_QUESTIONS = (
    "Where can I take a bath?",
    "Where do cyclists park?",
    "Who brews espresso?",
    "Are there plants upstairs?",
)


@dataclass(frozen=True, slots=True)
class Write:
    """One call of a writer. `number` is 0 for a deletion; `acknowledged` is None if it failed, so that nobody knows."""

    document: int
    number: int
    parts: int
    begun: float
    acknowledged: float | None


@dataclass(frozen=True, slots=True)
class Read:
    """One search: the texts found of the asked document, and when it began and ended.

    `whole`: it asked for more passages than there are, so that all parts must be there; otherwise only what is there
    is looked at.
    """

    document: int
    begun: float
    ended: float
    texts: tuple[str, ...]
    whole: bool = True


def name(document: int) -> str:
    """The document's id."""
    return f"topic-{document}"


def text(document: int, number: int, parts: int) -> str:
    """A document's content: each part says which number it is of, and how many parts there are."""
    topic = _TOPICS[document % len(_TOPICS)]
    return "\n\n".join(
        f"The {topic} of building {document} is on floor {part}. Part {part} of {parts}, number {number}."
        for part in range(parts)
    )


def question(document: int) -> str:
    """In other words than the document's."""
    return f"{_QUESTIONS[document % len(_QUESTIONS)]} In house {document}?"


def problems(writes: Sequence[Write], reads: Sequence[Read]) -> list[str]:
    """What must not be: one line each. An acknowledged write that was lost shows as missing or stale.

    Writes of one document come one after the other. A search may show what was acknowledged last before it began, or
    what was tried after that and before the search ended; nothing older, no mix, no part without the others.
    """
    found = []
    for read in reads:
        ours = [write for write in writes if write.document == read.document]
        last = max(
            (write for write in ours if write.acknowledged is not None and write.acknowledged <= read.begun),
            key=lambda write: write.begun,
            default=None,
        )
        least = last.begun if last is not None else float("-inf")
        allowed = {write.number: write.parts for write in ours if least <= write.begun <= read.ended}
        may_be_gone = last is None or 0 in allowed
        seen = [
            tuple(int(word.strip(".,")) for word in one.split() if word.strip(".,").isdigit()) for one in read.texts
        ]
        numbers = {fields[-1] for fields in seen}
        about = f"document {read.document}, search at {read.begun:.3f} to {read.ended:.3f}"
        if not seen:
            if read.whole and not may_be_gone:
                found.append(f"missing: {about}, allowed {sorted(allowed)}")
        elif len(numbers) > 1:
            found.append(f"mixed: {about}, numbers {sorted(numbers)}")
        elif (number := numbers.pop()) not in allowed or number == 0:
            kind = "deleted" if last is not None and last.number == 0 else "stale"
            found.append(f"{kind}: {about}, number {number}, allowed {sorted(allowed)}")
        elif read.whole and sorted(fields[-3] for fields in seen) != list(range(allowed[number])):
            found.append(f"in part: {about}, number {number}, {len(seen)} of {allowed[number]} parts")
    return found
