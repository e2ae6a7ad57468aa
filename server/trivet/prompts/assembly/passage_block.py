"""Retrieved passages as a block of text that nothing in them can leave.

    Passages:
    [1] text of passage one
      its second line
    [2] text of passage two

What stands at the beginning of a line is ours alone: the header, and each entry's number. Further lines of a passage
are indented, lines without text are left out, whatever Unicode calls the end of a line counts as one, and what reads
like an entry's number inside a passage gets round brackets, whichever of Unicode's brackets, digits, blanks and unseen
characters it is written with (see `passage_marks`). Characters that cannot be seen, by which text can be hidden from
people or shown to them in another order, are left out. The block ends with an empty line.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from trivet.prompts.assembly.conversation import encodable
from trivet.prompts.assembly.passage_marks import without_marks
from trivet.prompts.template.source import SourceMark
from trivet.types.passage import Passage

_INDENT = "  "
_BRACKETS = re.compile(r"[()\[\]]")
_JOINERS = "\u200c\u200d"  # of letters and emoji: text
_LONGEST_MARK = 120  # characters of a source


def passage_lines(header: str, passages: Sequence[Passage], source: SourceMark = SourceMark.NONE) -> list[str]:
    """The header's line, one entry per passage, the empty line. Nothing without passages."""
    if not passages:
        return []
    return [f"{header}\n", *(_entry(number, one, source) for number, one in enumerate(passages, start=1)), "\n"]


def _entry(number: int, passage: Passage, source: SourceMark) -> str:
    named = {SourceMark.NONE: "", SourceMark.TITLE: passage.title, SourceMark.DOCUMENT: passage.document_id}[source]
    mark = _BRACKETS.sub("", " ".join(contained(named).split())[:_LONGEST_MARK]).strip()
    text = f"\n{_INDENT}".join(contained(passage.text).split("\n"))
    return f"[{number}] ({mark}) {text}\n" if mark else f"[{number}] {text}\n"


def contained(text: str) -> str:
    """Lines of text, none of them empty, without hidden characters and without what looks like an entry's number."""
    lines = ("".join(filter(_visible, line)).strip() for line in encodable(text).splitlines())
    return without_marks("\n".join(line for line in lines if line))


def _visible(character: str) -> bool:
    return character == "\t" or character in _JOINERS or unicodedata.category(character) not in ("Cc", "Cf")
