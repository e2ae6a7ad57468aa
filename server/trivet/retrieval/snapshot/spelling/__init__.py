"""Words of a question that an index does not know, and the nearest ones that it does."""

from trivet.retrieval.snapshot.spelling.spelling import Spelling, corrected, with_corrections

__all__ = ["Spelling", "corrected", "with_corrections"]
