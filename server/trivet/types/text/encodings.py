"""Encodings of text other than UTF-8: those that files are read in, and their names."""

from __future__ import annotations

import codecs

WESTERN = "cp1252"
LEGACY = (
    WESTERN, "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874", "koi8_r",
    "koi8_u", "iso8859_2", "cp932", "euc_jp", "gb18030", "big5", "cp949",
)  # fmt: skip
_SUPERSETS = {  # what is meant by a name, after https://encoding.spec.whatwg.org/#names-and-labels
    "ascii": WESTERN,
    "iso8859-1": WESTERN,
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}
_DECODED = {
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp866", "mac-roman", "iso2022_jp", "koi8-r", "koi8-u",
    *(codecs.lookup(name).name for name in (*LEGACY, *_SUPERSETS)),
    *(f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)),
}  # fmt: skip


def codec_of(label: str) -> str | None:
    """Python's name for what a file or a person calls an encoding; None for one that files are not read in."""
    try:
        name = codecs.lookup(label.strip()[:40]).name
    except (LookupError, ValueError):
        return None
    return _SUPERSETS.get(name, name) if name in _DECODED else None


def public_name(codec: str) -> str:
    """As others than Python call it."""
    return codec.replace("cp125", "windows-125").replace("_", "-")
