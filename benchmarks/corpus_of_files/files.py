"""The files: fetched from Debian's documentation packages and found in installed ones, some made into other formats."""

from __future__ import annotations

import email.message
import hashlib
import html
import io
import re
import shutil
import subprocess
import sysconfig
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import docx

from benchmarks.searching.python_docs import Unavailable
from tests.support.retrieval.broken_files import broken_files
from tests.support.retrieval.office_files import epub, odt
from tests.support.retrieval.pdf_files import pdf
from trivet.retrieval.passages.formats.sections import ParsedDocument
from trivet.retrieval.passages.parsing import read
from trivet.types.passage import DocumentFormat

PACKAGES = ("debian-faq", *(f"debian-faq-{language}" for language in
            ("de", "fr", "it", "ja", "ko", "nl", "pt", "ru", "zh-cn")))  # fmt: skip
_FOLDER = "usr/share/doc/debian/FAQ"
_INSTALLED = {".md": 30, ".rst": 40, ".txt": 25, ".py": 25}  # so many of each
_MADE = 15  # of each format that pages are made into
_LINE, _LINES = 80, 45  # characters of a PDF's line, lines of its page
_LONGEST = 12_000  # bytes of an installed file


@dataclass(frozen=True, slots=True)
class Made:
    """How many files there are of each ending, and the names of the broken ones."""

    kinds: dict[str, int]
    broken: tuple[str, ...]


def fetch(folder: Path) -> Path:
    """The unpacked packages in `folder`, fetched if need be. Raises Unavailable."""
    unpacked = folder / "unpacked"
    if not unpacked.is_dir():
        for program in ("apt-get", "dpkg-deb"):
            if shutil.which(program) is None:
                raise Unavailable(f"no {program} here: the packages need a Debian or Ubuntu machine")
        folder.mkdir(parents=True, exist_ok=True)
        _run(["apt-get", "download", *PACKAGES], folder)
        for package in sorted(folder.glob("*.deb")):
            _run(["dpkg-deb", "--extract", package.name, "unpacked"], folder)
    return unpacked / _FOLDER


def fill(corpus: Path, sources: Path) -> Made:
    """Make the folder anew: pages in ten languages, what is made of them, installed packages' files, broken ones."""
    shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir(parents=True)
    pages = sorted(sources.rglob("*.html"))
    for page in pages:
        _write(corpus / "pages" / page.name, page.read_bytes())
    by_digest = sorted(pages, key=lambda page: hashlib.sha256(page.name.encode()).digest())
    chosen = (page for page in by_digest if not page.name.startswith("index"))
    for ending, make in (("docx", _docx), ("odt", _odt), ("epub", _epub), ("eml", _mail)):
        for page in islice(chosen, _MADE):
            parsed = read(page.read_text(), DocumentFormat.HTML)
            _write(corpus / ending / f"{page.stem}.{ending}", make(parsed))
            (corpus / "pages" / page.name).unlink()  # so that what is found is the made one
    for page in [page for page in pages if page.name.endswith(".en.html")][:_MADE]:
        parsed = read(page.read_text(), DocumentFormat.HTML)
        _write(corpus / "pdf" / f"{page.stem}.pdf", _pdf(parsed))
        (corpus / "pages" / page.name).unlink(missing_ok=True)
    for number, path in enumerate(_installed()):
        _write(corpus / "installed" / f"{number:03}-{path.name}", path.read_bytes())
    broken = broken_files()
    for name, content in broken.items():
        _write(corpus / "broken" / name, content)
    kinds: dict[str, int] = {}
    for path in sorted(corpus.rglob("*.*")):
        if path.parent.name != "broken":
            kinds[path.suffix] = kinds.get(path.suffix, 0) + 1
    return Made(kinds, tuple(f"broken/{name}" for name in broken))


def _installed() -> Iterator[Path]:
    """Files of installed Python packages: some of each ending, those with the smallest digest of their names."""
    packages = Path(sysconfig.get_paths()["purelib"])
    for ending, number in _INSTALLED.items():
        found = [
            path
            for path in packages.glob(f"*/**/*{ending}" if ending != ".txt" else "*.dist-info/**/*.txt")
            if path.is_file() and 500 < path.stat().st_size < _LONGEST and path.name != "top_level.txt"
        ]
        yield from sorted(found, key=lambda path: hashlib.sha256(str(path).encode()).digest())[:number]


def _docx(parsed: ParsedDocument) -> bytes:
    document = docx.Document()
    document.core_properties.title = parsed.title
    for section in parsed.sections:
        document.add_heading(section.path[-1] if section.path else parsed.title, min(9, max(1, len(section.path))))
        for paragraph in _paragraphs(section.text):
            document.add_paragraph(paragraph)
    return _saved(document)


def _odt(parsed: ParsedDocument) -> bytes:
    parts = []
    for section in parsed.sections:
        heading = html.escape(section.path[-1] if section.path else parsed.title)
        parts.append(f'<text:h text:outline-level="{max(1, len(section.path))}">{heading}</text:h>')
        parts += [f"<text:p>{html.escape(paragraph)}</text:p>" for paragraph in _paragraphs(section.text)]
    return odt("".join(parts), html.escape(parsed.title))


def _epub(parsed: ParsedDocument) -> bytes:
    chapters = []
    for section in parsed.sections:
        heading = html.escape(section.path[-1] if section.path else parsed.title)
        body = "".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in _paragraphs(section.text))
        chapters.append(f"<h1>{heading}</h1>{body}")
    return epub(chapters, html.escape(parsed.title))


def _mail(parsed: ParsedDocument) -> bytes:
    message = email.message.EmailMessage()
    message["Subject"], message["From"] = " ".join(parsed.title.split())[:100], "faq@example.org"
    message.set_content(parsed.text)
    return bytes(message)


def _pdf(parsed: ParsedDocument) -> bytes:
    """Of the English pages alone: its font has no other letters."""
    text = parsed.text.encode("ascii", "replace").decode()
    lines = [line for part in text.split("\n") for line in textwrap.wrap(part, _LINE) or [""]]
    pages = [lines[at : at + _LINES] for at in range(0, len(lines), _LINES)]
    return pdf(pages, title=" ".join(parsed.title.encode("ascii", "replace").decode().split()))


def _paragraphs(text: str) -> Sequence[str]:
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]


def _saved(document: docx.document.Document) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(command[:2])} failed: {done.stderr.strip()[-300:]}")
