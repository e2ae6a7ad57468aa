"""PDFs as text: what stands where, who may open it, and damaged ones refused."""

from __future__ import annotations

import io
import os

import pytest
from pypdf import PdfReader, PdfWriter

from tests.support.retrieval.pdf_files import pdf, pdf_of_streams
from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.pages.pdf import read_pdf
from trivet.retrieval.passages.formats.pages.pdf_layout import Piece, page_text
from trivet.retrieval.passages.limits import DocumentLimits

BOUNDS = DocumentLimits(pages=100, characters=100_000)


def placed(*texts: tuple[int, int, str]) -> bytes:
    """A page's content: text at places, in the order in which they are written."""
    shown = " ".join(f"1 0 0 1 {x} {y} Tm ({text}) Tj" for x, y, text in texts)
    return f"BT /F1 12 Tf {shown} ET".encode()


def test_text_and_title_of_a_pdf() -> None:
    content = pdf([["The lamp (Orlo) weighs", "12 grams."], ["Second page."]], title="The  lamp")
    read = read_pdf(content, BOUNDS)
    assert (read.title, read.text) == ("The lamp", "The lamp (Orlo) weighs\n12 grams.\n\nSecond page.")


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_a_password_of_the_owner_alone_keeps_nobody_from_reading(algorithm: str) -> None:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf([["not secret"]]))))
    writer.encrypt("", "owner", algorithm=algorithm)
    out = io.BytesIO()
    writer.write(out)
    read = read_pdf(out.getvalue(), BOUNDS)
    assert (read.title, read.text) == ("", "not secret")


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-256"])
def test_one_that_asks_for_a_password_is_refused(algorithm: str) -> None:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf([["secret"]]))))
    writer.encrypt("password", algorithm=algorithm)
    out = io.BytesIO()
    writer.write(out)
    with pytest.raises(DocumentRejected, match="it is encrypted: it asks for a password"):
        read_pdf(out.getvalue(), BOUNDS)


def test_columns_are_read_one_after_the_other_though_written_line_by_line() -> None:
    lines = [(72, 720, "A title that goes over both of the columns of this page")]
    for n in range(8):
        lines += [
            (72, 690 - 14 * n, f"left line {n} of a text in columns"),
            (330, 690 - 14 * n, f"right line {n} of it all"),
        ]
    lines.append((72, 540, "A last line that goes over both of the columns of this page"))
    text = read_pdf(pdf_of_streams([placed(*lines)]), BOUNDS).text
    left = "\n".join(f"left line {n} of a text in columns" for n in range(8))
    right = "\n".join(f"right line {n} of it all" for n in range(8))
    assert text == f"{lines[0][2]}\n\n{left}\n\n{right}\n\n{lines[-1][2]}"


def test_a_table_is_read_row_by_row() -> None:
    cells = [(72 + 120 * m, 700 - 14 * n, f"cell {n}.{m}") for m in range(3) for n in range(5)]
    text = read_pdf(pdf_of_streams([placed(*cells)]), BOUNDS).text
    assert text == "\n".join(f"cell {n}.0 cell {n}.1 cell {n}.2" for n in range(5))


def test_a_gap_between_lines_ends_a_paragraph() -> None:
    content = placed((72, 700, "One"), (72, 686, "two"), (72, 672, "three."), (72, 640, "Four"), (72, 626, "five."))
    assert read_pdf(pdf_of_streams([content]), BOUNDS).text == "One\ntwo\nthree.\n\nFour\nfive."


def test_words_that_a_line_end_broke_are_whole_unless_the_hyphen_is_theirs() -> None:
    lines = [
        "A well-known exam-",
        "ple of hyphen-",
        "ation, a well-",
        "known Anglo-",
        "Saxon type-",
        "3 thing, pages 3 -",
        "5.",
    ]
    text = read_pdf(pdf([lines]), BOUNDS).text
    assert text == "A well-known example of hyphenation, a well-known Anglo-Saxon type-3 thing, pages 3 -\n5."


def test_damaged_ones_are_refused() -> None:
    whole = pdf([["text"]])
    loop = whole.replace(b"/Kids [5 0 R]", b"/Kids [2 0 R]")
    assert loop != whole
    for damaged in (b"%PDF-1.4\n" + os.urandom(4000), whole[:60], loop):
        with pytest.raises(DocumentRejected, match=r"it is damaged|no text"):
            read_pdf(damaged, BOUNDS)


def test_pages_characters_and_missing_text() -> None:
    content = pdf([["one"], ["two"], ["three"]])
    with pytest.raises(DocumentRejected, match="it has 3 pages, expected at most 2"):
        read_pdf(content, DocumentLimits(pages=2, characters=100))
    with pytest.raises(DocumentRejected, match="more than 5 characters"):
        read_pdf(content, DocumentLimits(pages=3, characters=5))
    with pytest.raises(DocumentRejected, match="there is no text in it"):
        read_pdf(pdf([[]]), BOUNDS)


def test_pieces_of_a_line_are_words_where_a_gap_is_between_them() -> None:
    pieces = [Piece("b", 20, 0, 26, 9), Piece("a", 10, 0, 16, 9), Piece("c", 26.2, 0, 30, 9)]
    assert page_text(pieces) == "a bc"
    assert page_text([]) == ""
