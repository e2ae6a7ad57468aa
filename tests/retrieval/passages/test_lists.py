"""Lists: a term stands with its definition, what introduces a list with its first entry, and nothing is lost."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.support.retrieval.documents import markdown
from tests.support.retrieval.word_tokens import WordTokens
from trivet.retrieval.passages.parsing import read
from trivet.retrieval.passages.splitting import Chunk, Splitter
from trivet.retrieval.settings import IndexSettings
from trivet.types.passage import Document, DocumentFormat


def words(number: int, of: str) -> str:
    """So many different words, in sentences of ten."""
    return " ".join(f"{of}{n}." if n % 10 == 9 else f"{of}{n}" for n in range(number))


def split(settings: IndexSettings, html: str, *, limit: int = 60, pack: bool = True) -> list[Chunk]:
    splitter = Splitter(replace(settings, chunk_tokens=limit, pack=pack), WordTokens(), 254)
    return splitter.split(Document("page", html.encode(), DocumentFormat.HTML))


def terms(*entries: tuple[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{term}</dt><dd><p>{text}</p></dd>" for term, text in entries) + "</dl>"


def test_a_list_that_fits_stays_whole_with_what_introduces_it(settings: IndexSettings) -> None:
    before, after = f"<p>{words(40, 'b')}</p><p>These are known:</p>", f"<p>{words(40, 'a')}</p>"
    listed = terms(("RAID0", words(8, "x")), ("RAID6", words(8, "y")))
    _, chunk, _ = split(settings, f"{before}{listed}{after}")
    assert chunk.text == f"These are known:\n\nRAID0\n{words(8, 'x')}\n\nRAID6\n{words(8, 'y')}"


@pytest.mark.parametrize("pack", [True, False])
def test_of_a_list_that_is_cut_each_definition_is_a_passage_with_its_term(settings: IndexSettings, pack: bool) -> None:
    listed = terms(*((f"term{n}", words(12, f"w{n}x")) for n in range(9)))
    chunks = split(settings, f"<p>{words(20, 'b')}</p>{listed}<p>{words(20, 'a')}</p>", pack=pack)
    assert [chunk.text for chunk in chunks[1:-1]] == [f"term{n}\n{words(12, f'w{n}x')}" for n in range(9)]


def test_a_definition_that_is_cut_says_its_term_in_each_part(settings: IndexSettings) -> None:
    listed = terms(("RAID5", words(150, "x")), ("RAID6", words(8, "y")))
    *parts, last = split(settings, listed)
    assert len(parts) >= 3
    assert all(part.text.startswith("RAID5\n") and part.n_tokens <= 60 for part in parts)
    assert last.text.startswith("RAID6\n")


def test_a_term_that_takes_most_of_a_passage_is_not_said_again(settings: IndexSettings) -> None:
    first, *others = split(settings, terms((words(40, "t"), words(90, "x"))))
    assert first.text.startswith("t0 t1")
    assert all("t0" not in chunk.text.split() for chunk in others)


def test_a_list_is_cut_between_its_items_and_begins_with_its_introduction(settings: IndexSettings) -> None:
    items = [f"{words(10, f'p{n}x')} {words(10, f'q{n}x')}" for n in range(6)]
    page = f"<p>{words(45, 'b')}</p><p>As follows:</p><ul>{''.join(f'<li>{one}</li>' for one in items)}</ul>"
    before, first, *others = split(settings, page)
    assert before.text == words(45, "b")
    assert first.text == f"As follows:\n\n- {items[0]}\n- {items[1]}"
    assert [chunk.text for chunk in others] == [
        f"- {one}\n- {two}" for one, two in zip(items[2::2], items[3::2], strict=True)
    ]


def test_what_announces_nothing_stays_with_the_text_before_a_list(settings: IndexSettings) -> None:
    items = "".join(f"<li>{words(20, f'p{n}x')}</li>" for n in range(6))
    chunks = split(settings, f"<p>{words(45, 'b')}</p><p>No more of this.</p><ul>{items}</ul>")
    assert chunks[0].text.endswith("No more of this.")


@pytest.mark.parametrize("format_", [DocumentFormat.HTML, DocumentFormat.MARKDOWN])
def test_the_words_before_a_table_stand_with_its_first_rows(settings: IndexSettings, format_: DocumentFormat) -> None:
    rows = [f"a{n} {words(8, 'x')} | b{n}" for n in range(9)]
    if format_ is DocumentFormat.HTML:
        cells = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row.split(" | ")) + "</tr>" for row in rows)
        content = f"<p>{words(45, 'b')}</p><p>What it costs.</p><table><tr><th>A<th>B</tr>{cells}</table>"
    else:
        lines = "\n".join(f"| {row} |" for row in rows)
        content = f"{words(45, 'b')}\n\nWhat it costs.\n\n| A | B |\n|---|---|\n{lines}\n"
    splitter = Splitter(replace(settings, chunk_tokens=60), WordTokens(), 254)
    before, first, *others = splitter.split(Document("page", content.encode(), format_))
    assert before.text == words(45, "b")
    assert first.text.startswith("What it costs.\n\n")
    assert "a0" in first.text
    assert all("A | B" in chunk.text and "What it costs" not in chunk.text for chunk in others)


def test_of_a_long_paragraph_before_a_table_its_last_sentence_stands_with_it(settings: IndexSettings) -> None:
    rows = "".join(f"<tr><td>a{n}<td>{words(8, 'x')}</tr>" for n in range(9))
    page = f"<p>{words(50, 'before')} The table has all of them.</p><table>{rows}</table>"
    before, first, *_ = split(settings, page)
    assert before.text == words(50, "before")
    assert first.text.startswith("The table has all of them.\n\na0 | x0")


def test_a_table_of_one_row_is_text(settings: IndexSettings) -> None:
    page = f"<table><tr><th>Note<th>Text</tr><tr><td>Note<td>{words(100, 'x')}</tr></table>"
    (section,) = read(page, DocumentFormat.HTML).sections
    assert section.blocks == ()
    assert [chunk.text.count("Note") for chunk in split(settings, page)] == [2, 0]


def test_markdown_lists_are_cut_between_their_items(settings: IndexSettings) -> None:
    items = [f"- {words(10, f'p{n}x')} {words(10, f'q{n}x')}\n  - {words(5, f'r{n}x')}" for n in range(6)]
    text = f"# Title\n\n{words(45, 'b')}\n\nAs follows:\n\n" + "\n".join(items)
    splitter = Splitter(replace(settings, chunk_tokens=70), WordTokens(), 254)
    before, first, *others = splitter.split(markdown("list", text))
    assert before.text == words(45, "b")
    assert first.text == "As follows:\n\n" + "\n".join(items[:2])
    assert [chunk.text for chunk in others] == ["\n".join(pair) for pair in zip(items[2::2], items[3::2], strict=True)]


def test_a_heading_in_a_list_cuts_it(settings: IndexSettings) -> None:
    page = f"<ul><li>{words(9, 'a')}<li><h2>Next</h2>{words(9, 'b')}<ul><li>{words(9, 'c')}</ul></ul><p>{words(9, 'd')}"
    first, second = read(page, DocumentFormat.HTML).sections
    assert (first.path, second.path) == ((), ("Next",))
    assert [[entry.term for entry in block.entries] for block in second.blocks] == [[""]]  # type: ignore[union-attr]
    assert "".join(chunk.text for chunk in split(settings, page)).count("d8") == 1


CONTENTS = '<div class="toc"><dl class="toc"><dt>1. <a href="#x">Lamps</a></dt><dt>2. Cables</dt></dl></div>'


def test_a_table_of_contents_is_left_out_unless_there_is_nothing_else() -> None:
    (section,) = read(f"<h1>All</h1>{CONTENTS}<p>Text.</p>", DocumentFormat.HTML).sections
    assert section.text == "Text."
    (alone,) = read(f"<h1>All</h1>{CONTENTS}", DocumentFormat.HTML).sections
    assert alone.text == "1. Lamps\n2. Cables"


def _page(draw: random.Random, depth: int = 0) -> str:
    """Lists, tables and paragraphs in each other, some of them not as they should be."""
    kinds: Sequence[str] = ("p", "p", "ul", "ol", "dl", "table", "pre", "h2", "toc", "br")
    made = []
    for _ in range(draw.randint(1, 5)):
        kind = draw.choice(kinds)
        text = words(draw.choice((1, 5, 12, 40)), f"w{draw.randrange(10**6)}x") + draw.choice(("", ".", ":"))
        inner = _page(draw, depth + 1) if depth < 6 and draw.random() < 0.5 else ""
        if kind in ("ul", "ol"):
            made.append(f"<{kind}>" + "".join(f"<li>{text}{inner}" for _ in range(draw.randint(0, 3))) + f"</{kind}>")
        elif kind == "dl":
            tags = [f"<{draw.choice(('dt', 'dd', 'dd', 'li'))}>{text}{inner}" for _ in range(draw.randint(0, 5))]
            made.append("<dl>" + "".join(tags) + "</dl>")
        elif kind == "table":
            rows = [f"<tr><td>{text}<td>{inner}" for _ in range(draw.randint(0, 4))]
            made.append("<table>" + "".join(rows) + "</table>")
        else:
            made.append(f"<{kind}>{text}</{kind}>{inner}")
    return "".join(made)


@pytest.mark.parametrize("pack", [True, False])
def test_whatever_is_in_whatever_each_character_is_in_one_passage(settings: IndexSettings, pack: bool) -> None:
    for seed in range(80):
        page = _page(random.Random(seed))
        reading = read(page, DocumentFormat.HTML)
        if not reading.sections:
            continue
        chunks = split(settings, page, limit=30, pack=pack)
        at = 0
        missed = ""
        for chunk in chunks:
            assert chunk.n_tokens <= 30
            assert chunk.start >= at, seed
            missed += reading.text[at : chunk.start]
            cited = reading.text[chunk.start : chunk.end]
            assert chunk.text == cited or chunk.text.endswith(f"\n{cited}"), seed
            at = chunk.end
        missed += reading.text[at:]
        assert all(line.startswith("#") for line in missed.split("\n") if line.strip()), (seed, missed)
