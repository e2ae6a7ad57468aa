"""Office documents, e-books: what is read of them, and where a person finds it again."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from tests.support.retrieval.office_files import archive, changed, docx, epub, odt, pptx, xlsx
from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.listings import Table
from trivet.retrieval.passages.formats.sections import ParsedDocument
from trivet.retrieval.passages.limits import DEFAULT_LIMITS
from trivet.retrieval.passages.parsing import read_bytes
from trivet.types.passage import DocumentFormat

PRICES = (("Item", "Price"), ("Lamp", "7 EUR"), ("Bulb", "1 EUR"))


def read(content: bytes, format_: DocumentFormat) -> ParsedDocument:
    parsed = read_bytes(content, format_, DEFAULT_LIMITS)
    for section in parsed.sections:
        assert parsed.text[section.start : section.start + len(section.text)] == section.text
    return parsed


def places(parsed: ParsedDocument) -> list[str]:
    assert parsed.places is not None
    return [parsed.places.name(one.start, one.start + len(one.text)) for one in parsed.sections]


def test_a_word_document_has_sections_and_its_table_a_header() -> None:
    content = docx("Price list", headings={"Weight": "It weighs 12 grams.", "Prices": "With tax:"}, rows=PRICES)
    parsed = read(content, DocumentFormat.DOCX)
    assert parsed.title == "Price list"
    assert [section.path for section in parsed.sections] == [("Weight",), ("Prices",)]
    assert parsed.sections[1].text == "With tax:\n\nItem | Price\nLamp | 7 EUR\nBulb | 1 EUR"


def test_a_slide_is_a_section_with_its_notes() -> None:
    parsed = read(pptx({"Growth": "Up by 12%.", "Plans": "More lamps."}, notes="Say it slowly."), DocumentFormat.PPTX)
    assert [section.path for section in parsed.sections] == [("Growth",), ("Plans",)]
    assert parsed.sections[1].text == "More lamps.\n\nSay it slowly."
    assert places(parsed) == ["slide 1", "slide 2"]


def test_a_sheet_is_a_table_whose_cells_have_names() -> None:
    day = datetime.date(2026, 1, 2)
    sheets: dict[str, list[list[Any]]] = {
        "Price list": [["Item", "Price", "Since"], ["Lamp", 7.5, day], [], ["Bulb", 1]],
        "B": [[None, True]],
    }
    parsed = read(xlsx(sheets), DocumentFormat.XLSX)
    first, second = parsed.sections
    assert (first.path, first.text) == (("Price list",), "Item | Price | Since\nLamp | 7.5 | 2026-01-02\nBulb | 1")
    (table,) = first.blocks
    assert isinstance(table, Table)
    assert (table.header, second.text) == ("Item | Price | Since", "TRUE")
    assert places(parsed) == ["'Price list'!A1:C4", "B!B1:B1"]
    assert parsed.places is not None
    bulb = first.text.index("Bulb")
    assert parsed.places.name(bulb, len(first.text)) == "'Price list'!A4:B4"


def test_an_open_document_has_headings_lists_and_tables() -> None:
    body = (
        '<text:h text:outline-level="2">Weight</text:h><text:p>It weighs<text:s/>12 grams.</text:p>'
        "<text:list><text:list-item><text:p>one</text:p></text:list-item></text:list>"
        "<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>"
        "<table:table><table:table-row><table:table-cell><text:p>Lamp</text:p></table:table-cell>"
        '<table:table-cell table:number-columns-repeated="2"><text:p>7</text:p></table:table-cell>'
        "</table:table-row></table:table>"
    )
    parsed = read(odt(body, "Lamps"), DocumentFormat.ODF)
    assert (parsed.title, parsed.sections[0].path) == ("Lamps", ("Weight",))
    assert parsed.sections[0].text == "It weighs 12 grams.\n\n- one\n\nLamp | 7 | 7"


def test_an_e_book_is_read_in_its_order_without_scripts() -> None:
    content = epub(["<h1>Lamps</h1><p>12 grams.</p><script>alert(1)</script>", "<p>No heading.</p>"], "Handbook")
    parsed = read(content, DocumentFormat.EPUB)
    assert (parsed.title, parsed.text) == ("Handbook", "# Lamps\n\n12 grams.\n\nNo heading.")
    assert places(parsed) == ["chapter 1", "chapter 2"]
    assert parsed.sections[0].path == ("Lamps",)


@pytest.mark.parametrize("format_", [one for one in DocumentFormat if one.is_archive])
def test_what_is_no_such_document_says_so(format_: DocumentFormat) -> None:
    with pytest.raises(DocumentRejected, match="archive is damaged"):
        read(b"PK\3\4 and no more", format_)
    with pytest.raises(DocumentRejected, match=r"no Word document|no presentation|no workbook|has no"):
        read(archive({"a.txt": "A text."}), format_)


def test_a_document_that_asks_for_a_password_says_so() -> None:
    content = bytearray(archive({"content.xml": "<x/>"}))
    for header, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(header) + at] |= 1
    with pytest.raises(DocumentRejected, match="asks for a password"):
        read(bytes(content), DocumentFormat.ODF)
    manifest = '<manifest xmlns="x"><file-entry><encryption-data/></file-entry></manifest>'
    with pytest.raises(DocumentRejected, match="asks for a password"):
        read(changed(odt("<text:p>x</text:p>"), {"META-INF/manifest.xml": manifest}), DocumentFormat.ODF)
    encryption = '<encryption><CipherReference URI="book/c0.xhtml"/></encryption>'
    with pytest.raises(DocumentRejected, match="is encrypted"):
        read(changed(epub(["<p>x</p>"]), {"META-INF/encryption.xml": encryption}), DocumentFormat.EPUB)
