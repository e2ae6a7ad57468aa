"""Real texts in five languages, each from a Debian package that is fetched when it is needed. Nothing of them is here.

- German, Japanese, Chinese: the Debian Reference; a document is a section "4.2".
- Polish: GNOME's help; a document is a page.
- Arabic: what the browser Firefox says; a document is one message of at least 40 characters.
"""

from __future__ import annotations

import html
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.searching.debian import unpacked

_SECTION = re.compile(r'(?=<h2 class="title")')
_NUMBER = re.compile(r'<h2 class="title"[^>]*>(.*?)</h2>', re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_MESSAGE = re.compile(r"^([a-z][\w-]*) =[ \n]+(?:\.\w+ = )?(.{40,})$", re.MULTILINE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.DOTALL)
_CODE = re.compile(r"<info>.*?</info>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Text:
    """A document."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where a language's text is from."""

    package: str
    read: Callable[[Path], Iterator[Text]]


def _reference(language: str) -> Callable[[Path], Iterator[Text]]:
    def read(folder: Path) -> Iterator[Text]:
        for path in sorted((folder / "usr/share/debian-reference").glob(f"ch*.{language}.html")):
            for part in _SECTION.split(path.read_text("utf-8"))[1:]:
                heading = _plain(_NUMBER.match(part)[1])  # type: ignore[index]
                number, _, title = heading.partition(". ")
                yield Text(number, title, _plain(part))

    return read


def _help(folder: Path) -> Iterator[Text]:
    for path in sorted((folder / "usr/share/help/pl/gnome-help").glob("*.page")):
        page = _CODE.sub("", path.read_text("utf-8"))
        title = _TITLE.search(page)
        yield Text(path.stem, "" if title is None else _plain(title[1]), _plain(page))


def _messages(folder: Path) -> Iterator[Text]:
    (archive,) = (folder / "usr/lib/firefox-esr/browser/extensions").glob("*.xpi")
    seen: set[str] = set()
    with zipfile.ZipFile(archive) as files:
        for name in sorted(files.namelist()):
            for found in _MESSAGE.finditer(files.read(name).decode()) if name.endswith(".ftl") else ():
                if found[1] not in seen:
                    seen.add(found[1])
                    yield Text(found[1], "", _plain(found[2]))


def _plain(markup: str) -> str:
    """Its text, a paragraph in a line."""
    spaced = re.sub(r"</(p|h\d|li|td|tr|dt|dd|pre|title|item)>", "\n", markup)
    lines = (" ".join(line.split()) for line in html.unescape(_TAG.sub(" ", spaced)).split("\n"))
    return "\n".join(line for line in lines if line)


SOURCES: Mapping[str, Source] = {
    "german": Source("debian-reference-de", _reference("de")),
    "japanese": Source("debian-reference-ja", _reference("ja")),
    "chinese": Source("debian-reference-zh-cn", _reference("zh-cn")),
    "polish": Source("gnome-user-docs", _help),
    "arabic": Source("firefox-esr-l10n-ar", _messages),
}


def texts(language: str, folder: Path) -> list[Text]:
    """The documents of a language, fetched into `folder` if need be; raises Unavailable."""
    source = SOURCES[language]
    return list(source.read(unpacked(source.package, folder)))
