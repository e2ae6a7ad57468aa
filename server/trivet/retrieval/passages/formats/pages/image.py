"""Pictures as text: what is recognized in them. A picture of several pages (TIFF) has a place for each."""

from __future__ import annotations

import io

from PIL import Image, ImageOps

from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.pages.page_texts import clean, joined
from trivet.retrieval.passages.formats.pages.recognition import MOST_PIXELS, TextRecognition
from trivet.retrieval.passages.formats.places import NumberedPlaces
from trivet.retrieval.passages.formats.sections import ParsedDocument, SectionText, cut_sections
from trivet.retrieval.passages.limits import DocumentLimits

_READERS = ("PNG", "JPEG", "TIFF", "WEBP")
_MOST_DECODED = 80_000_000  # pixels of a page, which have up to four bytes
_SMALL = 2_000  # pixels of the longer side: less is no scan but a screen's picture, whose letters are too small
_WHITE = 255


def read_image(content: bytes, limits: DocumentLimits) -> ParsedDocument:
    """Raises DocumentRejected for what is no picture, is damaged or too large, and where recognition is off."""
    recognition = TextRecognition.of(limits)
    if recognition is None:
        raise DocumentRejected("it is a picture, and recognizing its text is off: see `documents.ocr`")
    texts: list[str] = []
    try:
        with Image.open(io.BytesIO(content), formats=_READERS) as picture:
            count = getattr(picture, "n_frames", 1)
            if count > limits.pages:
                raise DocumentRejected(f"it has {count:,} pages, expected at most {limits.pages:,}")
            for number in range(count):
                picture.seek(number)
                texts.append(clean(recognition.text_of(_grey(picture))))
                if sum(map(len, texts)) > limits.characters:
                    raise DocumentRejected(f"it has more than {limits.characters:,} characters of text")
    except (MemoryError, DocumentRejected):
        raise
    except Exception as error:  # of a library that finds something else than it expects
        raise DocumentRejected(f"it is no picture that can be read ({type(error).__name__}: {error})"[:200]) from None
    text, starts = joined(texts)
    if not text:
        raise DocumentRejected("no text is recognized in it")
    places = NumberedPlaces("page", starts) if count > 1 else None
    return ParsedDocument("", text, cut_sections(text, [SectionText((), 0, len(text))]), places=places)


def _grey(picture: Image.Image) -> Image.Image:
    """Upright, on white where it is transparent, and of a size that is recognized well."""
    width, height = picture.size
    if width * height > _MOST_DECODED:
        raise DocumentRejected(f"a page of it has {width * height:,} pixels, expected at most {_MOST_DECODED:,}")
    if picture.mode.startswith("I;16"):  # of 16 bits, which would all be white in 8
        picture = picture.point(lambda value: value / 256)
    if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        above = picture.convert("RGBA")
        page = Image.new("RGBA", picture.size, (_WHITE, _WHITE, _WHITE, _WHITE))
        page.alpha_composite(above)
        picture = page
    grey = ImageOps.exif_transpose(picture.convert("L"))
    factor = min(2.0 if max(grey.size) < _SMALL else 1.0, (MOST_PIXELS / (width * height)) ** 0.5)
    if factor != 1.0:
        size = (max(1, round(grey.width * factor)), max(1, round(grey.height * factor)))
        grey = grey.resize(size, Image.Resampling.LANCZOS)
    return grey
