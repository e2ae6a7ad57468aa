"""What a file's bytes say as text, when they are not UTF-8."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from trivet.errors import DocumentRejected
from trivet.types.text.encodings import LEGACY, WESTERN, codec_of, public_name

# What is looked at: of a file without a mark so many bytes from the first one on that is no ASCII.
_SAMPLE = 64 << 10
_DECLARED_WITHIN = 4 << 10
_FIRST_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_MARKS = (  # those of UTF-32 begin with those of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CLOSE = 0.05  # how much more the text may look like another language before another code page than WESTERN is taken
_NOT_IN_TEXT = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text as UTF-8. `guessed`: the encoding that it was taken to be in, empty if it is UTF-8 or says what it is."""

    utf8: bytes
    guessed: str = ""


def as_utf8(content: bytes, *, html: bool = False, otherwise: str | None = None) -> Decoded:
    """A text file's content as UTF-8: by its byte order mark, by what an HTML page declares, as the UTF-8 that it is.

    Else it is read as `otherwise`, or what UTF-16 or charset-normalizer take it for. Raises DocumentRejected if it is
    text in none of the known encodings.
    """
    for mark, codec in _MARKS:
        if content.startswith(mark):
            if (text := _decoded(content, codec)) is None:
                raise DocumentRejected(f"begins with a byte order mark of {codec.upper()}, but is not {codec.upper()}")
            return Decoded(text.encode())
    if html and not content.startswith(codecs.BOM_UTF8):
        declared = _declared(content)
        if declared is not None and (text := _decoded(content, declared)) is not None:
            return Decoded(text.encode())
    if _decoded(content, "utf-8") is not None and b"\0" not in content:
        return Decoded(content)
    if otherwise is not None and (text := _decoded(content, otherwise)) is not None:
        return Decoded(text.encode())
    for codec in (*_without_mark(content), *_by_statistics(content)):
        if (text := _decoded(content, codec)) is not None and not _NOT_IN_TEXT.search(text):
            return Decoded(text.encode(), public_name(codec))
    raise DocumentRejected("is not text in a known encoding, expected UTF-8 (or `encoding` in index.yaml)")


def _decoded(content: bytes, codec: str) -> str | None:
    try:
        return content.decode(codec)
    except UnicodeDecodeError:
        return None


def _declared(content: bytes) -> str | None:
    """The codec that a page names in a <meta> or an XML declaration."""
    from bs4.dammit import EncodingDetector

    label = EncodingDetector.find_declared_encoding(content[:_DECLARED_WITHIN], is_html=True)
    codec = None if label is None else codec_of(label)
    # A page in which a declaration can be read is in none of those, and means UTF-8.
    return "utf-8" if codec is not None and codec.startswith(("utf-16", "utf-32")) else codec


def _without_mark(content: bytes) -> tuple[str, ...]:
    """UTF-16, if the NUL bytes of its Latin letters stand where they would."""
    sample = content[:_SAMPLE]
    if b"\0" not in sample or len(content) % 2:
        return ()
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    return ("utf-16-le",) if odd > even else ("utf-16-be",)


def _by_statistics(content: bytes) -> tuple[str, ...]:
    """What the sample may be, the most probable first; nothing if that has NUL bytes."""
    from charset_normalizer import from_bytes

    found = _FIRST_NOT_ASCII.search(content)
    if found is None or b"\0" in content:
        return ()
    start = content.rfind(b"\n", 0, found.start()) + 1  # with the words before it, if it stands in a line
    start = max(start, found.start() - _SAMPLE // 2)
    sample = content[start : start + _SAMPLE]
    if start + _SAMPLE < len(content):
        sample = sample[: max(sample.rfind(b"\n"), sample.rfind(b" "), 0) or None]  # never within a character
    matches = list(from_bytes(sample, cp_isolation=list(LEGACY)))
    if not matches:
        return ()
    best = matches[0]
    for match in matches:
        western = WESTERN in match.could_be_from_charset
        if western and match.chaos <= best.chaos and match.coherence >= best.coherence - _CLOSE:
            return (WESTERN, best.encoding)
    return tuple(match.encoding for match in matches)
