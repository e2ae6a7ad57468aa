"""Letters of all scripts: one spelling of what reads the same, and runs of scripts that put no blanks between words.

Such runs become pairs of neighbouring characters. Measured against the segmenter of the vector engine on 30 questions
each (`benchmarks/languages`): better in Japanese, as good in Chinese, and without a dictionary that a passage and a
question might be cut by differently.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Ideographs, kana, Hangul, Thai, Lao, Khmer, Myanmar, each with its marks.
_RUN = re.compile(
    "[\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\u0e00-\u0eff"
    "\u1000-\u109f\u1780-\u17ff\U00020000-\U0003ffff]+"
)
_ANY = re.compile("[^\x00-\u02ff\u0370-\u05ff]")  # none of them is left of it: most texts are done with here
# Vowel signs of Arabic and Hebrew, which most texts leave out, and the stroke that only lengthens a line.
_SIGNS = re.compile("[\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670]")
_ALEFS = {ord(letter): "\u0627" for letter in "\u0622\u0623\u0625\u0671"}
_LONGEST_NAME = 4  # characters of a script without blanks
_LATIN = 0x24F  # the last of the Latin letters that languages use
_UMLAUT = re.compile("(?<![aeq])ue|ae|oe")
_SPELT = {"ae": "\u00e4", "oe": "\u00f6", "ue": "\u00fc"}


def one_spelling(text: str, *, umlauts: bool = False) -> str:
    """The text with one form for what reads the same: widths of letters, vowel signs, alefs; small letters.

    With `umlauts`, `Mueller` is spelt as `M\u00fcller`; `neue` and `Quelle` stay.
    """
    if not text.isascii():
        text = _SIGNS.sub("", unicodedata.normalize("NFKC", text)).translate(_ALEFS)
    return _UMLAUT.sub(lambda found: _SPELT[found[0]], text.lower()) if umlauts else text


def without_marks(word: str) -> str:
    """A word without its accents."""
    if word.isascii():
        return word
    apart = unicodedata.normalize("NFKD", word)
    return "".join(character for character in apart if not unicodedata.combining(character))


def without_runs(text: str) -> str:
    """What is written with blanks between words."""
    return _RUN.sub(" ", text) if _ANY.search(text) else text


def pairs(text: str) -> Iterator[str]:
    """Pairs of neighbouring characters of each run, and a run of one character as it is."""
    for found in _RUN.finditer(text) if _ANY.search(text) else ():
        run = found[0]
        if len(run) == 1:
            yield run
        for at in range(len(run) - 1):
            yield run[at : at + 2]


def is_name(text: str) -> bool:
    """Whether it is one word, of a script without blanks at most a few characters: a name, and no question."""
    words = text.split()
    return len(words) == 1 and max(map(len, _RUN.findall(text)), default=0) <= _LONGEST_NAME


def is_of_other_script(text: str) -> bool:
    """Whether most of its letters are of other scripts than the Latin one."""
    letters = [character for character in text if character.isalpha()]
    return 2 * sum(ord(character) > _LATIN for character in letters) > len(letters)
