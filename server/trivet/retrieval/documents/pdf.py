"""PDFs as text, within bounds of time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from trivet.errors import DocumentRejected

_CHILD = (sys.executable, "-I", "-m", "trivet.retrieval.documents.pdf_process")


@dataclass(frozen=True, slots=True)
class PdfLimits:
    """What reading one PDF may take: seconds of processor time (twice that on the clock), bytes, pages, characters."""

    seconds: int = 20
    memory: int = 1 << 30
    pages: int = 2_000
    characters: int = 4 << 20


@dataclass(frozen=True, slots=True)
class PdfText:
    """What a PDF says. `title` is the file's own, maybe empty; an empty line stands between pages."""

    title: str
    text: str


def read_pdf(content: bytes, limits: PdfLimits = PdfLimits()) -> PdfText:
    """Read one in a process of its own (blocking, half a second or more).

    Raises DocumentRejected for one that is encrypted, damaged or too large, that takes too long, or without text.
    """
    arguments = [f"--{name}={getattr(limits, name)}" for name in PdfLimits.__slots__]
    try:
        done = subprocess.run(
            (*_CHILD, *arguments),
            input=content,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},  # it needs none, and what is in ours is none of its business
            timeout=2 * limits.seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DocumentRejected(f"reading it takes longer than {limits.seconds} s") from None
    if done.returncode < 0:
        raise DocumentRejected(f"reading it takes longer than {limits.seconds} s, or too much memory")
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise DocumentRejected("it cannot be read: the reading process failed") from None
    if "refused" in answer:
        raise DocumentRejected(answer["refused"])
    return PdfText(answer["title"], answer["text"])
