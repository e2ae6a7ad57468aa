"""The search by terms alone, in this process: BM25 over the server's own term vectors, nothing embedded."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.languages.texts import Text
from trivet.retrieval.snapshot.terms import TermVectors

_TOKENS = 180
_CHARACTERS = {"japanese": 250, "chinese": 250}
_OTHERS = 600  # characters of a passage


class TermSearch:
    """Passages of documents, each a few lines with the title above, and the inverse frequencies of their terms."""

    def __init__(self, vectors: TermVectors, language: str, documents: Sequence[Text]) -> None:
        self._vectors = vectors
        self._documents: list[str] = []
        self._postings: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
        for document in documents:
            for passage in _passages(document, _CHARACTERS.get(language, _OTHERS)):
                vector = vectors.of_passage(passage)
                for term, weight in zip(vector.indices, vector.values, strict=True):
                    self._postings[term].append((len(self._documents), weight))
                self._documents.append(document.id)

    def ranks(self, questions: Sequence[Mapping[str, str]], depth: int) -> list[int | None]:
        """Of each question, the rank of the first right passage, None beyond `depth`."""
        return [self._rank(question, depth) for question in questions]

    def _rank(self, question: Mapping[str, str], depth: int) -> int | None:
        scores: Counter[int] = Counter()
        asked = self._vectors.of_query(question["question"])
        for term, weight in zip(asked.indices, asked.values, strict=True):
            postings = self._postings.get(term, ())
            idf = math.log(1 + (len(self._documents) - len(postings) + 0.5) / (len(postings) + 0.5))
            for number, value in postings:
                scores[number] += idf * weight * value  # type: ignore[assignment]
        first = [self._documents[number] for number, _ in scores.most_common(depth)]
        right = question["document"]
        return first.index(right) + 1 if right in first else None


def vectors_of(language: str) -> TermVectors:
    """As an index in this language has them."""
    return TermVectors(language, _TOKENS)


def _passages(document: Text, most: int) -> Iterator[str]:
    text = ""
    for line in document.text.split("\n"):
        for at in range(0, max(1, len(line)), most):
            part = line[at : at + most]
            if text and len(text) + len(part) > most:
                yield f"{document.title}\n{text}"
                text = ""
            text = f"{text}\n{part}".strip()
    if text:
        yield f"{document.title}\n{text}"
