"""PDFs as text, and hostile ones refused in time."""

from __future__ import annotations

import io
import os
import time

import pytest
from pypdf import PdfReader, PdfWriter
from trivet.retrieval.documents.pdf import PdfLimits, PdfText, read_pdf

from pdf_files import pdf, pdf_of_streams
from trivet.errors import DocumentRejected

TIGHT = PdfLimits(seconds=3, memory=512 << 20)


def test_text_and_title_of_a_pdf() -> None:
    content = pdf([["The lamp (Orlo) weighs", "12 grams."], ["Second page."]], title="The  lamp")
    assert read_pdf(content) == PdfText("The lamp", "The lamp (Orlo) weighs\n12 grams.\n\nSecond page.")


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-256"])
def test_an_encrypted_one_is_refused(algorithm: str) -> None:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf([["secret"]]))))
    writer.encrypt("password", algorithm=algorithm)
    out = io.BytesIO()
    writer.write(out)
    with pytest.raises(DocumentRejected, match="it is encrypted"):
        read_pdf(out.getvalue())


def test_damaged_ones_are_refused() -> None:
    whole = pdf([["text"]])
    loop = whole.replace(b"/Kids [5 0 R]", b"/Kids [2 0 R]")
    assert loop != whole
    for damaged in (b"%PDF-1.4\n" + os.urandom(4000), whole[:60], loop):
        with pytest.raises(DocumentRejected, match=r"it is damaged|no text|longer"):
            read_pdf(damaged, TIGHT)


def test_pages_characters_and_missing_text() -> None:
    content = pdf([["one"], ["two"], ["three"]])
    with pytest.raises(DocumentRejected, match="it has 3 pages, allowed are 2"):
        read_pdf(content, PdfLimits(pages=2))
    with pytest.raises(DocumentRejected, match="more than 5 characters"):
        read_pdf(content, PdfLimits(characters=5))
    with pytest.raises(DocumentRejected, match="there is no text in it"):
        read_pdf(pdf([[]]))


def test_a_bomb_cannot_take_the_memory() -> None:
    bomb = pdf_of_streams([b" " * (400 << 20)], compress=True)
    assert len(bomb) < 1 << 20
    with pytest.raises(DocumentRejected, match=r"memory|damaged"):
        read_pdf(bomb, PdfLimits(memory=256 << 20))


def test_one_that_takes_too_long_is_given_up() -> None:
    slow = pdf_of_streams([b"BT /F1 12 Tf " + b"(a) Tj 1 0 0 1 0 0 Tm " * 400_000 + b"ET"], compress=True)
    started = time.monotonic()
    with pytest.raises(DocumentRejected, match="longer than 1 s"):
        read_pdf(slow, PdfLimits(seconds=1))
    assert time.monotonic() - started < 60  # the limits, not the file, ended it
