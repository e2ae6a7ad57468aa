"""What reads like an entry's number, `[1]`, inside a passage.

Unicode has many ways to write one: full-width and ornamental brackets, digits of other scripts and in circles, blanks
that do not break, joiners and marks between the characters. A list of them would never be whole, so a character counts
for what it is in compatibility normal form (NFKC, Unicode Standard Annex 15) and by its general category.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_MARK = re.compile(r"\[(\d{1,4})\]")
_ASCII_MARK = re.compile(r"(?<![\w\])])\[[ \t]*(\d{1,4})[ \t]*\]", re.ASCII)  # not an array's index, as in `a[1]`
_INDEXED = re.compile(r"[\w\])]")
_ROUND = {"(": "(", ")": ")", "{": "{", "}": "}"}
_CHARACTERS_KNOWN = 4096


def without_marks(text: str) -> str:
    """The text with round brackets around each such number. Linear in its length."""
    if text.isascii():
        return _ASCII_MARK.sub(r"(\1)", text)
    read: list[str] = []
    places: list[int] = []  # in the text, of each character of what is read
    for place, character in enumerate(text):
        for part in _reads_as(character):
            read.append(part)
            places.append(place)
    pieces, end = [], 0
    for mark in _MARK.finditer("".join(read)):
        start, after = places[mark.start()], places[mark.end() - 1] + 1
        is_index = start and text[start:after].isascii() and _INDEXED.match(text, start - 1)
        if start < end or is_index:  # the first: within one character that stands for several
            continue
        pieces += [text[end:start], f"({mark[1]})"]
        end = after
    return "".join([*pieces, text[end:]])


@lru_cache(maxsize=_CHARACTERS_KNOWN)
def _reads_as(character: str) -> str:
    """`[`, `]` and ASCII digits for what looks like them, nothing for what is not seen, else the character."""
    read = []
    for part in unicodedata.normalize("NFKC", character):
        category = unicodedata.category(part)
        if category == "Nd":
            read.append(str(unicodedata.digit(part)))
        elif category in ("Ps", "Pe"):
            read.append(_ROUND.get(part, "[" if category == "Ps" else "]"))
        elif part == "\n" or not _unseen(part, category):
            read.append(part)
    return "".join(read)


def _unseen(character: str, category: str) -> bool:
    """Blanks, marks on other characters, controls, and the letters and symbols that are empty by their name."""
    if category[0] in "ZCM":
        return True
    name = unicodedata.name(character, "")
    return name.endswith((" FILLER", " BLANK"))
