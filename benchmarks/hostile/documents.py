"""Hostile documents: archives that unpack to gigabytes, entities, endless sheets, deep nesting, scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.hostile.kind import BAD, LATE, REFUSED, SERVED, Kind, same
from benchmarks.measuring.wire import ADMIN
from benchmarks.measuring.workload import INDEX
from tests.support.retrieval.office_files import ENTITIES, archive, changed, docx, epub, odt, pptx, xlsx
from tests.support.retrieval.pdf_files import pdf, pdf_of_streams
from trivet.api.v1 import admin_pb2

_SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_DEEP = 100_000
_UNPACKED = 64 << 20  # bytes


def documents() -> Iterator[Kind]:
    """A client may change its own tenant's documents. Each waits for those of its tenant before it, so the client may
    not wait for the answer long enough."""
    yield from _records()
    yield from _bombs()
    yield from _entities()
    yield from _sheets()
    yield from _nested()
    yield from _scripts()
    ids = admin_pb2.DeleteDocumentsRequest(index=INDEX, ids=[f"d{i}" for i in range(100_000)])
    yield Kind("deletion of 100,000 ids", f"/{ADMIN}/DeleteDocuments", same(ids), frozenset({BAD}))


def _document(name: str, *answers: str, **fields: Any) -> Kind:
    """Where it may be served, an id of its own keeps it from waiting for others of the same id."""
    id_ = name if SERVED in answers else "hostile"
    given = {"id": id_, "content": b"Hello.", "format": admin_pb2.DOCUMENT_FORMAT_TEXT, **fields}
    request = admin_pb2.UpsertDocumentsRequest(index=INDEX, document=admin_pb2.Document(**given))
    allowed = frozenset({*(answers or {REFUSED}), LATE})
    return Kind(f"document: {name}", f"/{ADMIN}/UpsertDocuments", same(request), allowed)


def _records() -> Iterator[Kind]:
    """What is said of a document, and bytes that are none of its format."""
    yield _document("an id of 1 MB", REFUSED, BAD, id="i" * (1 << 20))
    yield _document("a title of 1 MB", REFUSED, BAD, title="t" * (1 << 20))
    yield _document("10,000 tags", REFUSED, BAD, tags=[f"t{i}" for i in range(10_000)])
    yield _document("another tenant's", REFUSED, BAD, tenant="neighbour")
    yield _document("a field that is not declared", REFUSED, BAD, fields={"price": 1})
    html, markdown = admin_pb2.DOCUMENT_FORMAT_HTML, admin_pb2.DOCUMENT_FORMAT_MARKDOWN
    yield _document("a broken declaration in HTML", REFUSED, SERVED, content=b"<![ x", format=html)
    yield _document("PDF in name only", content=b"%PDF-1.7\n" + b"x" * 1000, format=admin_pb2.DOCUMENT_FORMAT_PDF)
    yield _document("zero bytes", content=b"\0" * 1000)
    yield _document("not UTF-8", content=b"\xff\xfe\xfd" * 1000)
    aliases = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'x'}]\n" for n in range(9))
    bomb = f"---\n{aliases}tags: *a8\n---\nHello.".encode()
    yield _document("front matter of aliases of aliases", REFUSED, SERVED, content=bomb, format=markdown)


def _bombs() -> Iterator[Kind]:
    """Archives and pages that unpack to far more than they are."""
    blank = b"<x>" + b" " * _UNPACKED + b"</x>"
    for name, content, part, format_ in (
        ("Word", docx(headings={"A": "x"}), "word/document.xml", admin_pb2.DOCUMENT_FORMAT_DOCX),
        ("slides", pptx({"A": "x"}), "ppt/slides/slide1.xml", admin_pb2.DOCUMENT_FORMAT_PPTX),
        ("an e-book", epub(["<p>x</p>"]), "book/c0.xhtml", admin_pb2.DOCUMENT_FORMAT_EPUB),
    ):
        yield _document(f"{name} that unpacks to 64 MiB", content=changed(content, {part: blank}), format=format_)
    streams = pdf_of_streams([b"q Q\n" * (8 << 20)], compress=True)
    yield _document("PDF that unpacks to 32 MiB", content=streams, format=admin_pb2.DOCUMENT_FORMAT_PDF)
    pages = pdf([["x"]] * 2_500)
    yield _document("PDF of 2,500 pages", content=pages, format=admin_pb2.DOCUMENT_FORMAT_PDF)
    nested = archive({"a.zip": archive({"b.zip": archive({"c.txt": "x"})})})
    yield _document("archives in an archive", content=nested, format=admin_pb2.DOCUMENT_FORMAT_EPUB)


def _entities() -> Iterator[Kind]:
    """Entities of entities, and of files of the server."""
    sheets, text = xlsx({"A": [["x"]]}), odt("<text:p>x</text:p>")
    several = changed(sheets, {"xl/workbook.xml": f"{ENTITIES}<x>&b;</x>"})
    yield _document("a workbook with entities", content=several, format=admin_pb2.DOCUMENT_FORMAT_XLSX)
    file = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'
    outside = changed(text, {"content.xml": file})
    yield _document("OpenDocument with a file's entity", content=outside, format=admin_pb2.DOCUMENT_FORMAT_ODF)


def _sheets() -> Iterator[Kind]:
    """Sheets of a few bytes with cells without end."""
    rows = "".join(f'<row r="{n}"><c r="XFD{n}"><v>1</v></c></row>' for n in range(1, 400))
    far = f'<worksheet xmlns="{_SHEET}"><dimension ref="A1:XFD1048576"/><sheetData>{rows}</sheetData></worksheet>'
    content = changed(xlsx({"A": [["x"]]}), {"xl/worksheets/sheet1.xml": far})
    yield _document("a workbook of six million cells", content=content, format=admin_pb2.DOCUMENT_FORMAT_XLSX)
    cell = '<table:table-cell table:number-columns-repeated="16384"><text:p>x</text:p></table:table-cell>'
    row = f'<table:table-row table:number-rows-repeated="1048576">{cell}</table:table-row>'
    repeated = odt(f"<table:table>{row * 500}</table:table>")
    odf = admin_pb2.DOCUMENT_FORMAT_ODF
    yield _document("a sheet whose cells are repeated without end", REFUSED, SERVED, content=repeated, format=odf)
    separated = admin_pb2.DOCUMENT_FORMAT_CSV
    yield _document("10,000 columns", REFUSED, SERVED, content=b"a," * 10_000, format=separated)


def _nested() -> Iterator[Kind]:
    """Elements in elements, mails in mails."""
    deep = changed(odt("<text:p>x</text:p>"), {"content.xml": "<x>" * _DEEP + "</x>" * _DEEP})
    yield _document(f"OpenDocument, {_DEEP:,} deep", content=deep, format=admin_pb2.DOCUMENT_FORMAT_ODF)
    lists = b"[" * _DEEP
    yield _document(f"a notebook, {_DEEP:,} deep", content=lists, format=admin_pb2.DOCUMENT_FORMAT_NOTEBOOK)
    html, markdown = admin_pb2.DOCUMENT_FORMAT_HTML, admin_pb2.DOCUMENT_FORMAT_MARKDOWN
    boxes = b"<div>" * _DEEP + b"x"
    yield _document(f"HTML, {_DEEP:,} deep", REFUSED, SERVED, content=boxes, format=html)
    quotes = b">" * 10_000 + b" x"
    yield _document("Markdown, 10,000 deep", REFUSED, SERVED, content=quotes, format=markdown)
    parts = "".join(f'Content-Type: multipart/mixed; boundary="{n}"\n\n--{n}\n' for n in range(1_000))
    mails = f"Subject: x\n{parts}text".encode()
    mail = admin_pb2.DOCUMENT_FORMAT_MAIL
    yield _document("a mail, 1,000 parts deep", content=mails, format=mail)


def _scripts() -> Iterator[Kind]:
    """What would run or be loaded elsewhere: it is left out, and the rest is read."""
    page = (
        b'<p>Shown</p><script>x</script><img src="http://127.0.0.1:9/x" onerror="x"><iframe src="file:///etc/passwd">'
    )
    yield _document("HTML with scripts", SERVED, content=page, format=admin_pb2.DOCUMENT_FORMAT_HTML)
    macros = changed(docx(headings={"A": "Shown"}), {"word/vbaProject.bin": b"Sub AutoOpen()", "../../x.txt": "x"})
    word = admin_pb2.DOCUMENT_FORMAT_DOCX
    yield _document("Word with macros and paths outside", SERVED, content=macros, format=word)
