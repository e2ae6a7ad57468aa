"""What a prompt says, as far as words can tell: English ones. Of prompts in other languages it says next to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from trivet.prompts.review.located_text import StaticText, static_texts
from trivet.prompts.review.rules import Finding
from trivet.prompts.template.source import PromptSource

_SENTENCE = re.compile(r"[^.!?\n]{1,2000}[.!?]?")
_WORD = re.compile(r"\w+")
_JSON = re.compile(r"(?i)\bjson\b")
_FEW_WORDS = 4  # a shorter sentence may well stand there twice ("Be brief.")
_ENGLISH = re.compile(r"(?i)\b(?:the|you|answer|and|is|of|a)\b")
_PASSAGES = re.compile(
    r"(?i)\b(?:passages?|excerpts?|context|sources?|documents?|references?|articles?|results?|handbook|manual)\b"
)
_WAY_OUT = re.compile(
    r"(?i)\bnot (?:know|say|found|find|contain|sure|mention|in the|enough|there|available|covered|stated)"
    r"|\bunknown\b|\bcannot\b"
    r"|\bcan't\b|\bdon't\b|\bnever guess\b|\bno (?:answer|passage|information)\b|\bfalse if\b|\bunless\b"
    r"|\bonly (?:state|use|from|what)\b"
)
_SECRECY = re.compile(
    r"(?i)\b(?:do not|don't|never|must not)\b.{0,40}\b(?:reveal|disclose|share|repeat|show|tell|mention|leak)\b"
    r".{0,60}\b(?:instructions?|prompt|rules|password|secret|confidential|internal)\b"
    r"|\bkeep (?:this|these|it) (?:secret|confidential)\b"
)
_ACTIVE = re.compile(
    r"(?i)\b(?:write|answer|reply|respond|return|output|generate|produce|format)\b.{0,40}"
    r"\b(?:html|javascript|sql|shell|bash|powershell|python code|svg)\b|!\[[^\]]{0,80}\]\([^)]{0,200}\)|<script\b"
)


def instruction_findings(prompt: PromptSource, *, searches: bool, has_schema: bool) -> Iterator[Finding]:
    """`searches`: a variant with this prompt has an index; `has_schema`: one has a JSON schema."""
    texts = list(static_texts(prompt))
    yield from _repeated(texts)
    said = "\n".join(text.text for text in texts)
    first = texts[0].line if texts else 1
    if len(_ENGLISH.findall(said)) < 3:
        return
    for rule, pattern, told in (
        (
            "secrecy",
            _SECRECY,
            "a model cannot be trusted to keep this to itself, expected nothing in it that is secret",
        ),
        ("active-output", _ACTIVE, "whoever shows or runs the answer has to check it as a stranger's text"),
    ):
        for text in texts:
            if found := pattern.search(text.text):
                yield Finding(text.line_at(found.start()), rule, told)
    if searches and not _PASSAGES.search(said):
        yield Finding(first, "no-passage-rule", "the passages are not mentioned, expected what to do with them")
    if searches and not _WAY_OUT.search(said):
        yield Finding(first, "no-way-out", "expected what to answer if the passages do not say")
    if has_schema and not _JSON.search(said):
        yield Finding(first, "no-form", "the answer has to be JSON, expected the word and the fields")


def _repeated(texts: list[StaticText]) -> Iterator[Finding]:
    """Sentences of the instructions that stand there twice; examples may repeat each other."""
    seen: dict[str, int] = {}
    for text in texts:
        if text.turn:
            continue
        for found in _SENTENCE.finditer(text.text):
            words = _WORD.findall(found[0].casefold())
            line = text.line_at(found.end() - len(found[0].lstrip()))
            if len(words) < _FEW_WORDS:
                continue
            key = " ".join(words)
            if key in seen:
                yield Finding(line, "repeated-text", f"the sentence of line {seen[key]} once more, expected it once")
            seen.setdefault(key, line)
