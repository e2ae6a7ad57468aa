"""Characters that are not what they look like, and text of other template languages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from trivet.excerpt import quote
from trivet.prompts.review.located_text import static_texts
from trivet.prompts.review.rules import Finding
from trivet.prompts.template.source import PromptSource

_JOINERS = "\u200c\u200d"  # inside words of some scripts, and between emoji
_LEFTOVERS = re.compile(
    r"\{%.{0,200}?%\}|\$\{[A-Za-z_]\w{0,60}\}|(?<![{\w$])\{[A-Za-z_]\w{0,60}\}(?!\})|<<[A-Za-z_]\w{0,60}>>|%\([A-Za-z_]\w{0,60}\)s"
    r"|\b(?:TODO|FIXME|XXX|TBD)\b|(?i:\blorem ipsum\b)"
)


def character_findings(prompt: PromptSource, controls: Iterable[str]) -> Iterator[Finding]:
    """What cannot be seen, what is spelt like a control token, and what another template language would fill in.

    `controls`: the texts of the control tokens of the models that the prompt is for.
    """
    spelt = sorted({control for control in controls if len(control) > 2})
    for text in static_texts(prompt):
        for line, said in text.lines():
            if hidden := _hidden(said):
                yield Finding(line, "invisible-text", f"{hidden}, expected only what a reader can see")
            for control in spelt:
                if control in said:
                    told = f"{quote(control)} is text here and no control token; the chat template puts those"
                    yield Finding(line, "control-text", told)
        for found in _LEFTOVERS.finditer(text.text):
            told = f"{quote(found[0])} reaches the model as it stands, expected {{{{ name }}}} for a variable, or none"
            yield Finding(text.line_at(found.start()), "leftover-markup", told)


def _hidden(line: str) -> str:
    """The code points of a line that are formats, tags or unassigned, in words; joiners beside letters are none."""
    found = []
    for at, character in enumerate(line):
        if character == "\t" or unicodedata.category(character) not in ("Cf", "Cc", "Co", "Cn"):
            continue
        beside = line[max(0, at - 1) : at] + line[at + 1 : at + 2]
        if character in _JOINERS and len(beside) == 2 and not beside.isascii():
            continue
        found.append(f"U+{ord(character):04X}")
    return f"{len(found)} invisible ({', '.join(sorted(set(found))[:4])})" if found else ""
