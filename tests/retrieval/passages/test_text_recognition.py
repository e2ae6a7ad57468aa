"""Text of pictures and of scanned pages, by a real Tesseract in the process that reads documents."""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.support.retrieval.pdf_files import pdf
from tests.support.retrieval.tesseract import NotHere, tesseract
from trivet.errors import DocumentRejected, FailedPrecondition
from trivet.retrieval.passages.formats.pages.image import read_image
from trivet.retrieval.passages.formats.pages.pdf import read_pdf
from trivet.retrieval.passages.formats.pages.recognition import check_recognition
from trivet.retrieval.passages.limits import DEFAULT_LIMITS, DocumentLimits

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

LINES = ("The lantern weighs 412 grams.", "It hangs beside the harbour gate.")
OTHER = ("Feed the parrot at seven.",)


def page(*lines: str, mode: str = "L", background: Any = 255, ink: Any = 0) -> Image.Image:
    """Half a page as a scanner gives it, at 150 dots per inch."""
    image = Image.new(mode, (1240, 600), background)
    font = ImageFont.load_default(40)
    for n, line in enumerate(lines):
        ImageDraw.Draw(image).text((100, 100 + 80 * n), line, fill=ink, font=font)
    return image


def saved(image: Image.Image, format_: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def limits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentLimits]:
    try:
        command = tesseract(tmp_path_factory.mktemp("tesseract"))
        yield DocumentLimits(ocr_command=check_recognition(command, "eng"), ocr_languages="eng")
    except (NotHere, FailedPrecondition) as error:
        pytest.skip(str(error))


def test_a_scanned_page_is_read_and_has_its_number(limits: DocumentLimits) -> None:
    scanned = saved(page(*LINES), "PDF", resolution=150, save_all=True, append_images=[page(*OTHER), page()])
    parsed = read_pdf(scanned, limits)
    for line in (*LINES, *OTHER):
        assert line in parsed.text
    assert parsed.places is not None
    at = parsed.text.index(OTHER[0])
    assert parsed.places.name(at, at + len(OTHER[0])) == "page 2"
    assert read_pdf(pdf([["A page of text."]]), limits).text == "A page of text."
    with pytest.raises(DocumentRejected, match="nor any that is recognized"):
        read_pdf(saved(page(), "PDF", resolution=150), limits)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_picture_is_read(limits: DocumentLimits, format_: str) -> None:
    parsed = read_image(saved(page(*LINES), format_), limits)
    assert [line for line in parsed.text.splitlines() if line] == list(LINES)
    assert parsed.places is None


def test_pictures_as_they_come(limits: DocumentLimits) -> None:
    clear = page(*LINES, mode="RGBA", background=(0, 0, 0, 0), ink=(0, 0, 0, 255))
    assert LINES[0] in read_image(saved(clear, "PNG"), limits).text
    deep = page(*LINES).convert("I").point(lambda value: value * 256).convert("I;16")
    assert LINES[0] in read_image(saved(deep, "TIFF"), limits).text
    turned = page(*LINES).transpose(Image.Transpose.ROTATE_90)
    upright = Image.Exif()
    upright[0x0112] = 6  # the camera was turned
    assert LINES[0] in read_image(saved(turned, "JPEG", exif=upright), limits).text
    several = saved(page(*LINES), "TIFF", save_all=True, append_images=[page(*OTHER)])
    parsed = read_image(several, limits)
    assert parsed.places is not None
    assert parsed.places.name(parsed.text.index(OTHER[0]), len(parsed.text)) == "page 2"
    with pytest.raises(DocumentRejected, match="2 pages, expected at most 1"):
        read_image(several, DocumentLimits(pages=1, ocr_command=limits.ocr_command, ocr_languages="eng"))
    with pytest.raises(DocumentRejected, match="no text is recognized"):
        read_image(saved(page(), "PNG"), limits)


def test_what_is_no_picture_or_too_large_is_refused(limits: DocumentLimits) -> None:
    whole = saved(page(*LINES), "PNG")
    for content in (b"no picture", whole[: len(whole) // 2], saved(page(), "GIF")):
        with pytest.raises(DocumentRejected, match="no picture that can be read"):
            read_image(content, limits)
    huge = saved(Image.new("1", (9_400, 9_400), 1), "PNG")
    with pytest.raises(DocumentRejected, match="88,360,000 pixels, expected at most 80,000,000"):
        read_image(huge, limits)


def test_where_it_is_off_it_is_said_how_to_turn_it_on() -> None:
    with pytest.raises(DocumentRejected, match=r"documents\.ocr"):
        read_image(saved(page(*LINES), "PNG"), DEFAULT_LIMITS)
    with pytest.raises(DocumentRejected, match=r"documents\.ocr"):
        read_pdf(saved(page(*LINES), "PDF", resolution=150), DEFAULT_LIMITS)


def test_what_is_missing_is_said_before_anything_is_read(limits: DocumentLimits, tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"no command 'no-such-program' here: install it \(Debian"):
        check_recognition("no-such-program", "eng")
    with pytest.raises(FailedPrecondition, match=r"does not have xyz, but .*eng"):
        check_recognition(limits.ocr_command, "eng+xyz")
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(stat.S_IRWXU)
    with pytest.raises(FailedPrecondition, match="--list-langs fails"):
        check_recognition(str(broken), "eng")
    fails = DocumentLimits(ocr_command=str(broken), ocr_languages="eng")
    with pytest.raises(DocumentRejected, match=r"text recognition failed \(3\)"):
        read_image(saved(page(*LINES), "PNG"), fails)
    broken.unlink()
    with pytest.raises(DocumentRejected, match="does not start"):
        read_image(saved(page(*LINES), "PNG"), fails)
