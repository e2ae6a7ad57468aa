"""How much each half of the hybrid search counts for a query.

With equal weights the fused list is worse than the better half alone, for a question (meaning finds it) as for a name
(its letters find it). So the half that fits less counts less: measured by `benchmarks/retrieval_quality/`.
"""

from __future__ import annotations

from trivet.retrieval.snapshot.terms import codes, is_name, is_of_other_script

_FITS = 1.0
# With `rrf_k` 2 what is third by meaning and first by terms comes before what is first by meaning alone.
_TERMS_OF_A_QUESTION = 0.34
_MEANING_OF_A_NAME = 0.25
# Meaning does not tell one part number from the next.
# With `rrf_k` 2 and this weight, what is first by terms is first, whatever meaning says of it.
_MEANING_OF_A_CODE = 0.2


def leg_weights(query: str, *, known: bool = True, english: bool = False) -> tuple[float, float]:
    """Weights of the search by meaning and of the one by terms: a single word is a name, more than one a question; one
    with a part number or the like in it is about that, if it is `known`: stands in some passage. `english`: the
    embedding model knows no other language, so that a question in letters that English does not have means nothing to
    it."""
    if known and codes(query):
        return (_MEANING_OF_A_CODE, _FITS)
    if is_name(query) or (english and is_of_other_script(query)):
        return (_MEANING_OF_A_NAME, _FITS)
    return (_FITS, _TERMS_OF_A_QUESTION)
