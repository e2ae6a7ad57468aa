"""`python -m trivet.retrieval.documents.pdf_process`: a PDF on standard input, its text as JSON on standard output.

Run in a process of its own with limits of its own: a PDF is a program of a kind, and a hostile one can take for ever or
unpack to gigabytes. It answers `{"title": ..., "text": ...}` or `{"refused": why}`.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import resource
import signal
import sys

_NICENESS = 10
_MOST_SAID = 200  # characters of another's error message


class Refused(Exception):
    """The message says why."""


def main() -> None:
    """Limit this process, read, answer."""
    parser = argparse.ArgumentParser()
    for name in ("--seconds", "--memory", "--pages", "--characters"):
        parser.add_argument(name, type=int, required=True)
    options = parser.parse_args()
    os.nice(_NICENESS)
    signal.alarm(2 * options.seconds)  # ends it even if nobody is left who would
    _limit(resource.RLIMIT_CPU, options.seconds)
    _limit(resource.RLIMIT_AS, options.memory)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    try:
        title, text = read(sys.stdin.buffer.read(), options.pages, options.characters)
        answer = {"title": title, "text": text}
    except Refused as refusal:
        answer = {"refused": str(refusal)}
    except MemoryError:
        answer = {"refused": "reading it takes too much memory"}
    sys.stdout.write(json.dumps(answer))


def read(content: bytes, most_pages: int, most_characters: int) -> tuple[str, str]:
    """Title (maybe empty) and text, an empty line between pages; raises Refused."""
    from pypdf import PdfReader

    logging.disable(logging.CRITICAL)
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted:
            raise Refused("it is encrypted")
        if (count := len(reader.pages)) > most_pages:
            raise Refused(f"it has {count:,} pages, allowed are {most_pages:,}")
        pages, characters = [], 0
        for page in reader.pages:
            pages.append(_clean(page.extract_text()))
            characters += len(pages[-1])
            if characters > most_characters:
                raise Refused(f"it has more than {most_characters:,} characters of text")
        title = reader.metadata.title if reader.metadata is not None else None
    except (Refused, MemoryError):
        raise
    except Exception as error:  # a damaged file can raise anything
        raise Refused(f"it is damaged ({type(error).__name__}: {error})"[:_MOST_SAID]) from None
    text = "\n\n".join(page for page in pages if page)
    if not text:
        raise Refused("there is no text in it (pages that were scanned need text recognition first)")
    return " ".join(_clean(str(title or "")).split()), text


def _clean(text: str) -> str:
    """Without what is no text: NUL, form feeds, half surrogate pairs."""
    text = text.replace("\0", "").replace("\f", "\n").replace("\r\n", "\n")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()


def _limit(which: int, amount: int) -> None:
    """Lower a limit of this process; one that the system does not take is left (macOS has no bound on memory)."""
    try:
        _, hard = resource.getrlimit(which)
        amount = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        resource.setrlimit(which, (amount, amount))
    except (ValueError, OSError):
        sys.stderr.write("a limit of the PDF process could not be set\n")


if __name__ == "__main__":
    main()
