"""What reading one document may take, and with what pictures are read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """`seconds`: of CPU time, several times that on the clock. `memory`: bytes of the reading process. `pages`: of a
    PDF, slides and chapters. `characters`: of the text of a format that is not text itself. `passages`: that a document
    is cut into. `unpacked`: bytes that an archive's files may have together.

    `ocr_command`: path of Tesseract, empty where text is not recognized. `ocr_languages`: as it takes them, `deu+eng`.
    """

    seconds: int = 20
    memory: int = 1 << 30
    pages: int = 2_000
    characters: int = 4 << 20
    passages: int = 20_000
    unpacked: int = 128 << 20
    ocr_command: str = ""
    ocr_languages: str = ""


DEFAULT_LIMITS = DocumentLimits()
