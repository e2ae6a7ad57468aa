"""E-books: the chapters in the order in which they are read, each as the HTML that it is."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote

from lxml import etree

from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.html import read_html
from trivet.retrieval.passages.formats.joined import JoinedDocument
from trivet.retrieval.passages.formats.office.archive import DocumentArchive, check_xml
from trivet.retrieval.passages.formats.sections import ParsedDocument
from trivet.retrieval.passages.limits import DocumentLimits

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_OPF = "{http://www.idpf.org/2007/opf}"
_ROOTFILE = "{urn:oasis:names:tc:opendocument:xmlns:container}rootfile"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_PAGES = ("application/xhtml+xml", "text/html")


def read_epub(content: bytes, limits: DocumentLimits) -> ParsedDocument:
    """A book without its pictures, scripts and styles. Raises DocumentRejected for what is none, or is encrypted."""
    archive = DocumentArchive(content, limits.unpacked)
    rootfile = _xml(archive, _CONTAINER).find(f".//{_ROOTFILE}")
    name = "" if rootfile is None else rootfile.get("full-path", "")
    package = _xml(archive, name)
    folder = posixpath.dirname(name)
    files = {
        item.get("id"): _inside(folder, item.get("href", ""))
        for item in package.iter(f"{_OPF}item")
        if item.get("media-type") in _PAGES and "nav" not in (item.get("properties") or "").split()
    }
    order = [files[one.get("idref")] for one in package.iter(f"{_OPF}itemref") if one.get("idref") in files]
    if len(order) > limits.pages:
        raise DocumentRejected(f"it has {len(order):,} chapters, expected at most {limits.pages:,}")
    if _ENCRYPTION in archive.names():
        encrypted = {one.get("URI") for one in _xml(archive, _ENCRYPTION).iter() if isinstance(one.tag, str)}
        if not encrypted.isdisjoint(order):  # fonts may be, and mostly are all that is
            raise DocumentRejected("it is encrypted (digital rights management)")
    book = JoinedDocument("chapter", limits.characters)
    for file in dict.fromkeys(order):
        chapter = read_html(_text(archive.read(file)))
        headed = any(section.path for section in chapter.sections)
        book.add(chapter, "" if headed else chapter.title)
    return book.whole(" ".join((package.findtext(f".//{_TITLE}") or "").split()))


def _xml(archive: DocumentArchive, name: str) -> etree._Element:
    content = archive.read(name)
    check_xml(content)
    try:
        return etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    except etree.XMLSyntaxError as error:
        raise DocumentRejected(f"its {name[:100]} is damaged ({error})"[:200]) from None


def _inside(folder: str, href: str) -> str:
    """A path in the archive; one that leads out of it is in no archive."""
    return posixpath.normpath(posixpath.join(folder, unquote(href.partition("#")[0])))


def _text(content: bytes) -> str:
    """A chapter; books are UTF-8 or UTF-16."""
    codec = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return content.decode(codec, "replace").replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
