"""Ids of documents: any script, one spelling, and nothing in them that would be mistaken for something else."""

from __future__ import annotations

import re
import unicodedata
from hashlib import sha256
from pathlib import PurePath

from trivet.errors import DocumentRejected
from trivet.excerpt import quote
from trivet.types.text.names import is_printable

MAX_ID = 255  # characters
_DIGEST = 16  # hexadecimal digits, of an id that was too long
# Files of source code keep their ending in their id: `lock.c` and `lock.h` are two documents.
CODE_ENDINGS = (
    ".py", ".js", ".mjs", ".ts", ".tsx", ".jsx", ".java", ".kt", ".scala", ".c", ".h", ".cc", ".cpp", ".hpp", ".cs",
    ".go", ".rs", ".rb", ".php", ".swift", ".lua", ".pl", ".r", ".sh", ".sql", ".proto", ".tf",
)  # fmt: skip
_RESERVED = "%#!"  # escapes begin with a %; a passage's id is "tenant!document@revision#number"
_ESCAPE = re.compile(r"%(?![0-9A-F]{2})")
_CUT_ESCAPE = re.compile(r"%[0-9A-F]?$")


def check_id(document_id: str) -> None:
    """Raise DocumentRejected for what cannot be a document's id: it says why, and where it can what is expected.

    1 to 255 printable characters in Unicode's normal form NFC, without `!` and `#`, and with `%` only before two
    hexadecimal digits; the parts between slashes are not empty, not `.` or `..`, and have no blanks at their ends.
    """
    if problem := _problem(document_id):
        raise DocumentRejected(f"document id {quote(document_id)} {problem}")


def _problem(document_id: str) -> str:
    if not 1 <= len(document_id) <= MAX_ID:
        return f"has {len(document_id):,} characters, expected 1 to {MAX_ID}"
    if not unicodedata.is_normalized("NFC", document_id):
        return "is not in Unicode's normal form NFC, expected the composed characters"
    if any(part in ("", ".", "..") for part in document_id.split("/")):
        return "has an empty part, or one that is '.' or '..', between slashes"
    expected = escaped(document_id, keep_escapes=True)
    return "" if expected == document_id else f"has characters that are escaped in an id, expected {quote(expected)}"


def id_of_file(path: PurePath) -> str:
    """The id of a corpus file: its path (relative to the corpus) without the ending, escaped; with it if it is code.

    A longer one than an id may be is its beginning, `~` and the beginning of the whole one's SHA-256.
    """
    named = path if path.suffix.lower() in CODE_ENDINGS else path.with_suffix("")
    whole = escaped(named.as_posix())
    if len(whole) <= MAX_ID:
        return whole
    digest = sha256(whole.encode()).hexdigest()[:_DIGEST]
    return f"{_CUT_ESCAPE.sub('', whole[: MAX_ID - _DIGEST - 1])}~{digest}"


def escaped(name: str, *, keep_escapes: bool = False) -> str:
    """A path in NFC, with what may not stand in an id as the `%XX` of its UTF-8 bytes, or of the byte that is none.

    `keep_escapes`: leave those that are there already.
    """
    normal = unicodedata.normalize("NFC", name)
    if keep_escapes:
        reserved = _RESERVED.replace("%", "")
        normal = _ESCAPE.sub("%25", normal)
    else:
        reserved = _RESERVED
    text = "/".join(_escaped_part(part, reserved) for part in normal.split("/"))
    if not unicodedata.is_normalized("NFC", text):  # a mark that followed something escaped, and joins its last digit
        text = "".join(character if character.isascii() else _percent(character) for character in text)
    return text


def printable(name: str) -> str:
    """A file's name for people: characters that cannot be shown, and bytes that are none, escaped."""
    return "".join(character if is_printable(character) else _percent(character) for character in name)


def _escaped_part(part: str, reserved: str) -> str:
    if part in (".", ".."):
        return _percent(part)
    text = "".join(
        _percent(character) if character in reserved or not is_printable(character) else character for character in part
    )
    words = text.strip()
    before, _, after = text.partition(words) if words else (text, "", "")
    return _percent(before) + words + _percent(after)


def _percent(characters: str) -> str:
    return "".join(f"%{byte:02X}" for character in characters for byte in _bytes(character))


def _bytes(character: str) -> bytes:
    """Of a file's name, the byte that was no UTF-8 (PEP 383)."""
    return character.encode("utf-8", "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass")
