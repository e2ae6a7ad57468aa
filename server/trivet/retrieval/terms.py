"""The sparse half of the search: BM25 term vectors, computed here so that every engine gets the same ones.

Source: Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009). The vector holds the term
frequency part; the engine multiplies the inverse document frequency in at query time (`modifier=IDF`).
"""

from __future__ import annotations

from qdrant_edge import Bm25, Bm25Config

from trivet.stores.records import Terms

_WORDS_PER_TOKEN = 0.6  # after stop words; only sets how strongly long passages are held back


class TermVectors:
    """Term vectors of passages and queries in one language."""

    def __init__(self, language: str, chunk_tokens: int) -> None:
        """Raises ValueError for a language that the stemmer does not know."""
        self._model = Bm25(Bm25Config(language=language, avg_len=chunk_tokens * _WORDS_PER_TOKEN))

    def of_passage(self, text: str) -> Terms:
        """Weights by frequency, saturated, and length."""
        vector = self._model.embed_document(text)
        return Terms(vector.indices, vector.values)

    def of_query(self, text: str) -> Terms:
        """Each term once; none at all if there are only stop words."""
        vector = self._model.embed_query(text)
        return Terms(vector.indices, vector.values)
