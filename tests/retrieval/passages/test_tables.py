"""Tables: each passage of one names its columns, rows stay whole, and a row is found."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.support.retrieval.documents import markdown, search
from tests.support.retrieval.word_tokens import WordTokens
from trivet.retrieval.embedding.embedding import OnnxEmbedder
from trivet.retrieval.passages.formats.listings import Table
from trivet.retrieval.passages.parsing import read
from trivet.retrieval.passages.splitting import Splitter
from trivet.retrieval.service import IndexService
from trivet.retrieval.settings import IndexSettings
from trivet.types.passage import Document, DocumentFormat

ROWS = 150
QUESTIONS = 15
LEAST = 10  # of these: rows share words with ten to twenty-four others, some of which win; ties go by chance
HEADER = "| product | battery life | weight | price | colour |"
DELIMITER = "|---|---|---|---|---|"


def _names() -> list[str]:
    first = ["Orlo", "Brixal", "Ondra", "Vetch", "Quill", "Marrow", "Tansy", "Ferro", "Lumen", "Pivot"]
    second = [
        "Hub",
        "Lantern",
        "Drone",
        "Kettle",
        "Scale",
        "Camera",
        "Valve",
        "Heater",
        "Speaker",
        "Lock",
        "Mower",
        "Printer",
        "Router",
        "Fan",
        "Toaster",
    ]
    return [f"{one} {other}" for one in first for other in second]


def _row(n: int, name: str) -> str:
    draw = random.Random(n)
    hours, grams, euros = draw.randint(2, 60), draw.randint(50, 5000), draw.randint(5, 900)
    return (
        f"| {name} | {hours} hours | {grams} grams | {euros} euro | {draw.choice(['red', 'blue', 'green', 'grey'])} |"
    )


TABLE = [_row(n, name) for n, name in enumerate(_names())]
TEXT = "\n".join(["# Products", "", "All that we sell.", "", HEADER, DELIMITER, *TABLE, "", "Prices are without tax."])


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("limit", [60, 180])
def test_each_passage_of_a_table_names_its_columns_and_has_whole_rows(
    pack: bool, limit: int, settings: IndexSettings
) -> None:
    splitter = Splitter(replace(settings, chunk_tokens=limit, pack=pack), WordTokens(), 254)
    chunks = splitter.split(markdown("products", TEXT))
    assert len(TABLE) == ROWS
    seen: list[str] = []
    for chunk in chunks:
        assert chunk.n_tokens <= limit
        rows = [line for line in chunk.text.split("\n") if line in TABLE]
        assert all(line in (*TABLE, HEADER, DELIMITER) for line in chunk.text.split("\n") if line.startswith("|"))
        if rows:
            assert HEADER in chunk.text
            assert chunk.text.count(HEADER) == 1
        cited = TEXT[chunk.start : chunk.end]
        assert chunk.text in (cited, f"{HEADER}\n{cited}")
        seen += rows
    assert seen == TABLE


def test_a_header_that_takes_most_of_a_passage_is_not_repeated(settings: IndexSettings) -> None:
    columns = 40
    lines = ["|" + "|".join(f"column{n}" for n in range(columns)) + "|", "|" + "-|" * columns]
    lines += ["|" + "|".join(str(n) for _ in range(columns)) + "|" for n in range(9)]
    splitter = Splitter(replace(settings, chunk_tokens=100), WordTokens(), 254)
    chunks = splitter.split(markdown("wide", "\n".join(lines)))
    assert all("column0" not in chunk.text for chunk in chunks[1:])
    assert all(chunk.n_tokens <= 100 for chunk in chunks)


def test_a_header_of_one_endless_word_is_not_repeated(settings: IndexSettings) -> None:
    """Each word is a token, however long it is."""
    lines = ["| " + "x" * 5_000 + " | b |", "|---|---|", *["| 1 | 2 |"] * 500]
    chunks = Splitter(replace(settings, chunk_tokens=180), WordTokens(), 254).split(markdown("wide", "\n".join(lines)))
    assert len(chunks) > 100
    assert sum("x" in chunk.text for chunk in chunks) <= 2


HTML = """<h1>Lamps</h1><table><caption>All lamps</caption>
<thead><tr><th rowspan=2>name</th><th colspan=2>weight</th></tr><tr><th>least</th><th>most</th></tr></thead>
<tr><td rowspan=2>Orlo</td><td>1 g</td><td>2 g</td></tr><tr><td colspan=2>not known</td></tr>
<tr><td colspan=3>Out of sale</td></tr><tr><td>Vetch</td><td>3 g</td><td>4 g</td></tr></table>"""


def test_cells_that_span_are_said_in_each_row_and_column() -> None:
    (section,) = read(HTML, DocumentFormat.HTML).sections
    assert section.text.split("\n") == [
        "All lamps",
        "name | weight least | weight most",
        "Orlo | 1 g | 2 g",
        "Orlo | not known | not known",
        "Out of sale",
        "Vetch | 3 g | 4 g",
    ]
    (table,) = section.blocks
    assert isinstance(table, Table)
    assert table.header == "All lamps\nname | weight least | weight most"
    assert section.text[table.rows : table.end].startswith("Orlo | 1 g")


def test_what_spans_add_is_bounded() -> None:
    bomb = (
        "<table>"
        + "<tr><td colspan=1000 rowspan=1000>"
        + "x" * 1000
        + "</tr>" * 1
        + "<tr><td>y</tr>" * 1000
        + "</table>"
    )
    assert len(read(bomb, DocumentFormat.HTML).text) < 2_000_000


def test_a_table_that_arranges_a_page_is_read_as_blocks() -> None:
    page = "<table><tr><td>Menu<td><h2>News</h2><p>One.<table><tr><th>a<th>b<tr><td>1<td>2</table></table>"
    sections = read(page, DocumentFormat.HTML).sections
    assert [(section.path, section.text) for section in sections] == [
        ((), "Menu"),
        (("News",), "One.\n\na | b\n1 | 2"),
    ]


@pytest.mark.embedding
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("format_", [DocumentFormat.MARKDOWN, DocumentFormat.HTML])
async def test_a_question_about_a_row_finds_it_first(
    format_: DocumentFormat, service: IndexService, settings: IndexSettings, embedder: OnnxEmbedder
) -> None:
    await service.upsert("handbook", Document("products", _content(format_), format_))
    found = 0
    for n in range(0, ROWS, ROWS // QUESTIONS):
        name = _names()[n]
        asked = random.Random(n).choice(["How long does the battery of the {} last?", "What is the price of the {}?"])
        passages = (await search(service, asked.format(name))).passages
        first = passages[0]
        found += name in first.text
        assert any(name in passage.text for passage in passages)
        assert "battery life" in first.text, "the columns are named"
    assert found >= LEAST


def _content(format_: DocumentFormat) -> bytes:
    if format_ is DocumentFormat.MARKDOWN:
        return TEXT.encode()
    lines = [HEADER, *TABLE]
    rows = ("".join(f"<td>{cell.strip()}" for cell in line.strip("|").split("|")) for line in lines)
    return ("<table><tr>" + "<tr>".join(rows).replace("<td>", "<th>", 5) + "</table>").encode()
