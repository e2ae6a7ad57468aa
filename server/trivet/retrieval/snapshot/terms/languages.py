"""How the words of each language become terms.

Three kinds: languages with a Snowball stemmer in the engine; languages that are named and have none, whose words are
their beginnings, because most of them inflect at the end; and `auto` (beginnings) and `none` (whole words), which fit
every text. Scripts without blanks between words are cut in the same way whatever the language is: see
`trivet.retrieval.snapshot.terms.scripts`.
"""

from __future__ import annotations

from dataclasses import dataclass

from trivet.types.text import languages

_WITHOUT_ENDINGS = frozenset(["chinese", "japanese", "khmer", "korean", "lao", "thai", "vietnamese"])


@dataclass(frozen=True, slots=True)
class WordRules:
    """`stemmer`: the engine's, with its stop words; None for words as they are. `beginnings`: words are their
    beginnings. `compounds`: long words have parts. `umlauts`: `ae`, `oe` and `ue` are read as German umlauts.
    `particles`: words may begin with letters that are words of their own, as in Hebrew.
    """

    stemmer: str | None = None
    beginnings: bool = False
    compounds: bool = False
    umlauts: bool = False
    particles: bool = False


def rules_of(language: str) -> WordRules:
    """Raises ValueError for a language that is not known."""
    languages.check_language(language)
    if language == "german":  # beginnings found more than its stemmer, and its compounds have parts
        return WordRules(beginnings=True, compounds=True, umlauts=True)
    if language in languages.STEMMED:
        return WordRules(language)
    if language == languages.NONE or language in _WITHOUT_ENDINGS:
        return WordRules()
    return WordRules(beginnings=True, particles=language in (languages.AUTO, "hebrew"))
