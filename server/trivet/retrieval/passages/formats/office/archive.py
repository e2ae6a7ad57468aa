"""Archives that documents are in, opened so that none of them can take more than it may."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from xml.parsers import expat

from trivet.errors import DocumentRejected

_MOST_MEMBERS = 20_000
_MOST_RATIO = 200  # bytes that one byte unpacks to: of XML with long runs some 50
_RATIO_FROM = 1 << 20  # bytes: less is no bomb whatever its ratio
_PIECE = 1 << 16
_MOST_DEPTH = 256  # elements in elements: what Word nests most, tables in tables, takes some ten for each
_NESTED = (".zip", ".7z", ".rar", ".gz", ".tar", ".docx", ".xlsx", ".pptx", ".odt", ".epub")
_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError)
_UNKNOWN_ENCODING = expat.errors.codes[expat.errors.XML_ERROR_UNKNOWN_ENCODING]
_READ_BY_PARSERS = (".xml", ".rels", ".opf", ".xhtml", ".html", ".htm", ".ncx")


class DocumentArchive:
    """A ZIP archive in memory. Nothing is written to a disk, and archives inside of it stay closed."""

    def __init__(self, content: bytes, unpacked: int) -> None:
        """`unpacked`: bytes that all members that are read may have together.

        Raises DocumentRejected for one that is damaged, encrypted, or larger than that once unpacked, by what it says
        of itself; what it says is not believed when it is read.
        """
        self.content = content
        self._left = unpacked
        self._unpacked = unpacked
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
            members = self._zip.infolist()
        except _BROKEN as error:
            raise DocumentRejected(f"its archive is damaged ({error})"[:200]) from None
        if len(members) > _MOST_MEMBERS:
            raise DocumentRejected(f"its archive has {len(members):,} files, expected at most {_MOST_MEMBERS:,}")
        self._members = {member.filename: member for member in members}
        if len(self._members) != len(members):
            raise DocumentRejected("its archive has two files of the same name")
        for member in members:
            if member.flag_bits & 1:
                raise DocumentRejected("it is encrypted: it asks for a password")
            packed = max(1, member.compress_size)
            if member.file_size > max(_RATIO_FROM, _MOST_RATIO * packed):
                raise DocumentRejected(
                    f"its archive unpacks to {member.file_size // packed:,} times its size, "
                    f"expected at most {_MOST_RATIO} times"
                )
        if sum(member.file_size for member in members) > unpacked:
            raise self._too_large()

    def names(self) -> Iterator[str]:
        """The names of its files."""
        return iter(self._members)

    def read(self, name: str) -> bytes:
        """A file of it; raises DocumentRejected if there is none, it is damaged, or it is too large."""
        if name not in self._members:
            raise DocumentRejected(f"its archive has no {name[:200]}")
        parts = []
        try:
            with self._zip.open(name) as file:
                while part := file.read(_PIECE):
                    self._left -= len(part)
                    if self._left < 0:
                        raise self._too_large()
                    parts.append(part)
        except _BROKEN as error:
            raise DocumentRejected(f"its archive is damaged ({name[:100]}: {error})"[:200]) from None
        return b"".join(parts)

    def check_parts(self) -> None:
        """Unpack all that a parser may read once, for its size, its nesting and what it declares.

        For libraries that open the archive by themselves. Raises DocumentRejected.
        """
        for name in self._members:
            if name.lower().endswith(_READ_BY_PARSERS):
                check_xml(self.read(name))
        self._left = self._unpacked

    def nested(self) -> list[str]:
        """Archives and documents inside of it: they are not opened."""
        return [name for name in self._members if name.lower().endswith(_NESTED)]

    def _too_large(self) -> DocumentRejected:
        return DocumentRejected(
            f"its archive unpacks to more than {self._unpacked:,} bytes: raise documents.max_unpacked_bytes to read it"
        )


class _TooDeep(Exception):
    pass


class _Declares(Exception):
    pass


def check_xml(content: bytes) -> None:
    """Raise DocumentRejected for XML that declares a document type, and so maybe entities, or nests too deeply.

    What is not well-formed is left to the parser that reads it. Linear in the length.
    """
    parser = expat.ParserCreate()
    depth = 0

    def start(_name: str, _attributes: object) -> None:
        nonlocal depth
        depth += 1
        if depth > _MOST_DEPTH:
            raise _TooDeep

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    def declares(*_what: object) -> None:
        raise _Declares

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.EntityDeclHandler = declares
    try:
        for at in range(0, len(content), _PIECE):
            parser.Parse(content[at : at + _PIECE], False)
        parser.Parse(b"", True)
    except _TooDeep:
        raise DocumentRejected(f"its XML is nested more than {_MOST_DEPTH} deep") from None
    except _Declares:
        raise DocumentRejected("its XML declares entities, which no office document does") from None
    except ValueError:  # of expat itself, about an encoding of several bytes for a character
        raise DocumentRejected("its XML is in an encoding that is not known") from None
    except expat.ExpatError as error:
        if error.code == _UNKNOWN_ENCODING:
            raise DocumentRejected("its XML is in an encoding that is not known") from None
