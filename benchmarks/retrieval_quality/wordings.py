"""The same questions as people may word them: a word misspelt by one letter, or a follow-up that names nothing."""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from benchmarks.searching.python_docs import Query, identifiers
from benchmarks.searching.rest_sections import Section
from trivet.types.request import Message

_WORD = re.compile(r"[A-Za-z]+")
_FREE = re.compile(r"(?<![\w./'-])[A-Za-z]{4,24}(?![\w/'-]|\.\w)")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_TRIES = 100
_NAME = 5  # letters


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A question whose topic was named before it. `alone`: the question as it stands alone."""

    earlier: tuple[Message, ...]
    asked: Query
    alone: Query


def document_frequencies(sections: Iterable[Section]) -> Counter[str]:
    """In how many sections each word is, in small letters."""
    return text_frequencies(section.text for section in sections)


def text_frequencies(texts: Iterable[str]) -> Counter[str]:
    """In how many texts each word is, in small letters."""
    return Counter(word for text in texts for word in set(_WORD.findall(text.lower())))


def names(sections: Sequence[Section], most: int) -> list[Query]:
    """Last parts of identifiers that are words of five letters or more, and of one description alone."""
    found = identifiers(sections, 100_000)
    last = Counter(query.text.rpartition(".")[2].lower() for query in found)
    chosen = [replace(query, text=query.text.rpartition(".")[2]) for query in found]
    whole = [
        query for query in chosen if query.text.isalpha() and len(query.text) >= _NAME and last[query.text.lower()] == 1
    ]
    return whole[:most]


def misspelt(queries: Sequence[Query], known: Counter[str]) -> list[tuple[Query, Query]]:
    """Each query that has a word to misspell, and the same misspelt."""
    wrong = ((query, misspelt_text(query.text, known)) for query in queries)
    return [(query, replace(query, text=text)) for query, text in wrong if text is not None]


def misspelt_text(text: str, known: Counter[str]) -> str | None:
    """The text with its rarest word misspelt by one letter; None if it has no word to misspell.

    A letter after the first is added, left out, replaced, or changes places with the next; what comes of it is no
    word of the corpus. Drawn by the text's own hash.
    """
    draw = random.Random(hashlib.sha256(text.encode()).digest())
    if (topic := _topic(text, known)) is None:
        return None
    wrong = next((word for _ in range(_TRIES) if (word := _changed(topic, draw)).lower() not in known), None)
    return None if wrong is None else text.replace(topic, wrong)


def follow_ups(questions: Sequence[Query], known: Counter[str]) -> list[FollowUp]:
    """Each question that has a topic, its rarest word, which an earlier turn names, and the question does not."""
    found = []
    for query in questions:
        if (topic := _topic(query.text, known)) is not None:
            earlier = (
                Message("user", f"I have a question about {topic}."),
                Message("assistant", "What do you want to know?"),
            )
            found.append(FollowUp(earlier, replace(query, text=query.text.replace(topic, "that")), query))
    return found


def _topic(text: str, known: Counter[str]) -> str | None:
    """The rarest of its free-standing words that the corpus has."""
    words = [word for word in _FREE.findall(text) if known[word.lower()]]
    return min(words, key=lambda word: (known[word.lower()], word), default=None)


def _changed(word: str, draw: random.Random) -> str:
    at = draw.randrange(1, len(word))
    before, after = word[:at], word[at:]
    kinds = (
        before + draw.choice(_LETTERS) + after,
        before + after[1:],
        before + draw.choice(_LETTERS) + after[1:],
        before + after[1:2] + after[:1] + after[2:],
    )
    return draw.choice(kinds)
