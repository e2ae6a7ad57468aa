"""Documents of each format as sections."""

from __future__ import annotations

import pytest

from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.listings import Table
from trivet.retrieval.passages.parsing import ParsedDocument, Section, read
from trivet.types.passage import DocumentFormat


def check_ranges(reading: ParsedDocument) -> None:
    """Each section stands where it says, in order."""
    at = 0
    for section in reading.sections:
        assert at <= section.start
        at = section.start + len(section.text)
        assert reading.text[section.start : at] == section.text


MARKDOWN = """Before any heading.

# Handbook

## Leave / absence ##

Twelve weeks.
With a soft break.

### Sick

```
# not a heading
```

## Empty

## Travel
40 euro.
"""


def test_markdown_is_cut_at_its_headings() -> None:
    reading = read(MARKDOWN.replace("\n", "\r\n"), DocumentFormat.MARKDOWN)
    assert [(section.path, section.text) for section in reading.sections] == [
        ((), "Before any heading."),
        (("Handbook", "Leave / absence"), "Twelve weeks.\nWith a soft break."),
        (("Handbook", "Leave / absence", "Sick"), "```\n# not a heading\n```"),
        (("Handbook", "Travel"), "40 euro."),
    ]
    assert reading.text == MARKDOWN
    check_ranges(reading)
    assert read(MARKDOWN.partition("\n\n")[2], DocumentFormat.MARKDOWN).title == "Handbook"


def test_text_is_one_section() -> None:
    assert read("# a\n\nb\n", DocumentFormat.TEXT).sections == (Section((), "# a\n\nb"),)
    assert read(" \n x y\n", DocumentFormat.TEXT).sections == (Section((), "x y", 3),)


HTML = """<!doctype html><html><head><title> The
 handbook </title><style>p { color: red }</style></head><body>
<nav>Home | About</nav><!-- a comment -->
<h1>Leave</h1>Loose text.
<p>Twelve <b>weeks</b>, see <a href="x">form&nbsp;7</a>.<br>Second line.</p><div><div>Deep</div> tail</div>
<script>alert(1)</script>
<h2>Sums</h2>
<ul><li>Berlin: 50</li><li>Rome: 60</li></ul>
<table><tr><th>City</th><th>Sum</th></tr><tr><td>Bonn</td><td>40</td></tr></table>
<p># not a heading</p>
<pre>
a
  b
</pre></body></html>"""


def test_html_keeps_all_its_text_and_its_structure() -> None:
    reading = read(HTML, DocumentFormat.HTML)
    assert reading.title == "The handbook"
    assert [(section.path, section.text) for section in reading.sections] == [
        (("Leave",), "Loose text.\n\nTwelve weeks, see form 7. Second line.\n\nDeep\n\ntail"),
        (
            ("Leave", "Sums"),
            "- Berlin: 50\n- Rome: 60\n\nCity | Sum\nBonn | 40\n\n# not a heading\n\na\n  b",
        ),
    ]
    check_ranges(reading)


def texts(content: str, format_: DocumentFormat = DocumentFormat.HTML) -> list[str]:
    """The sections' texts."""
    reading = read(content, format_)
    check_ranges(reading)
    return [section.text for section in reading.sections]


AROUND = [
    "<nav>Home</nav>", "<header>Site</header>", "<footer>Imprint</footer>", "<aside>News</aside>", "<p hidden>x</p>",
    '<p style="color: red; DISPLAY : none">x</p>', '<p aria-hidden="true">x</p>', '<div role="navigation">x</div>',
    '<div class="big cookie-banner">x</div>', '<div id="onetrust-consent-sdk">x</div>', "<dialog>x</dialog>",
    "<select><option>x</select>", '<a class="skip-link" href="#main">Skip</a>', "<template>x</template>",
    "<script>x</script>", '<div class="navheader"><table><tr><td>Prev<td>Next</table></div>',
    '<div class="nav-panel">x</div>', '<ol class="small breadcrumb"><li>x</ol>',
]  # fmt: skip


@pytest.mark.parametrize("around", AROUND)
def test_what_is_hidden_or_around_the_text_of_a_page_is_left_out(around: str) -> None:
    assert texts(
        f"{around}<main><p>Text.</p>{around if 'er>' not in around and 'aside' not in around else ''}</main>"
    ) == ["Text."]


@pytest.mark.parametrize("name", ["navheaders", "my-navbar", "navbar-brand", "unbreadcrumb"])
def test_a_class_that_is_only_like_that_of_a_bar_of_links_is_text(name: str) -> None:
    assert texts(f'<div class="{name}">Text.</div>') == ["Text."]


@pytest.mark.parametrize("tag", ["html", "body", "main", "article"])
def test_a_class_of_what_holds_the_text_takes_nothing_away(tag: str) -> None:
    assert texts(f'<{tag} class="navbar breadcrumbs"><p>Text.</p></{tag}>') == ["Text."]


@pytest.mark.parametrize("tag", ["nav", "NAV", "header", "footer", "aside"])
def test_a_part_that_is_never_closed_does_not_take_the_page_with_it(tag: str) -> None:
    """A browser shows what follows it as well; its own links are the smaller harm."""
    assert "Text." in "\n".join(texts(f"<{tag} class=a><a href=/>Home</a><p>Text.</p><p>More.</p>"))
    assert texts(f"<{tag}>Home</{tag}><p>Text.</p>") == ["Text."]


def test_an_article_keeps_its_own_header_footer_and_notes_and_a_page_its_headline() -> None:
    page = (
        "<header>Site<h1>Lamps</h1>Log in</header>"
        "<article><header>By us</header>Text.<aside>Note.</aside><footer>End.</footer></article>"
    )
    reading = read(page, DocumentFormat.HTML)
    assert [(section.path, section.text) for section in reading.sections] == [
        (("Lamps",), "By us\n\nText.\n\nNote.\n\nEnd.")
    ]


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("10<sup>3</sup> m<sup>-2</sup> e<sup>n + 1</sup>", "10^3 m^-2 e^(n + 1)"),
        ("the 4<sup>th</sup>, a note<sup>[1]</sup>", "the 4th, a note[1]"),
        ("H<sub>2</sub>O, x<sub>i</sub>, 10<sub>2</sub>", "H2O, x_i, 10_2"),
        ('<p>See<img src="a.png" alt="A red lamp">here', "See A red lamp here"),
        ("<ol><li>one<ul><li>two</ul><li><p>three<p>four</ol>", "1. one\n  - two\n2. three\n\nfour"),
        ("<dl><dt>T\u00b6<dd>d<dd>e<dt>U<dd>f</dl>", "T\nd\ne\n\nU\nf"),
        ("<pre>\n  a\n    b\n</pre>", "  a\n    b"),
        ("<p>a<![ x", "a"),
        ("&amp;lt; &copy &#0; &bogus;", "&lt; © � &bogus;"),
    ],
)
def test_what_html_reads_as(html: str, text: str) -> None:
    assert read(html, DocumentFormat.HTML).text == text


def test_html_whose_many_end_tags_end_nothing_is_refused() -> None:
    with pytest.raises(DocumentRejected, match="nested too deeply"):
        read("<div>" * 200_000 + "</x>" * 200_000, DocumentFormat.HTML)


def test_markdown_headings_are_those_that_a_reader_sees() -> None:
    text = "One\ntwo\n===\na\n\nSub\n---\nb\n~~~\n# no\n~~~\n\n> # no\n\n- # no\n\n    # no\n\n# A \\# ##\nc"
    reading = read(text, DocumentFormat.MARKDOWN)
    assert [section.path for section in reading.sections] == [("One two",), ("One two", "Sub"), ("A \\#",)]
    check_ranges(reading)


def test_front_matter_gives_title_and_tags_and_is_no_text() -> None:
    reading = read("---\r\ntitle: My  lamp\r\ntags: [a, b, 3]\r\n---\r\n# Heading\r\nText.", DocumentFormat.MARKDOWN)
    assert (reading.title, reading.tags, reading.text) == ("My lamp", ("a", "b", "3"), "# Heading\nText.")
    assert read("---\ntags: x, y\n...\nText", DocumentFormat.MARKDOWN).tags == ("x", "y")


@pytest.mark.parametrize(
    "block",
    ["just text", "a: [1", "a: &x [1]\nb: *x", "- list", "[" * 9000, "a: 2026-13-45", "k: v\n" * 4000],
)
def test_front_matter_that_is_none_is_text(block: str) -> None:
    text = f"---\n{block}\n---\nText"
    reading = read(text, DocumentFormat.MARKDOWN)
    assert (reading.text, reading.tags) == (text, ())


def test_comments_of_markdown_are_no_text_but_in_code() -> None:
    text = "a <!-- x -->b\n\n<!--\nblock\n# no\n-->\n\n# H\n```\n<!-- code -->\n```\n`<!-- c -->`\n\nend <!-- open"
    reading = read(text, DocumentFormat.MARKDOWN)
    assert [(section.path, section.text) for section in reading.sections] == [
        ((), "a b"),
        (("H",), "```\n<!-- code -->\n```\n`<!-- c -->`\n\nend <!-- open"),
    ]
    check_ranges(reading)


def test_comments_in_a_table_are_no_text_of_its_rows_nor_of_its_header() -> None:
    rows = "| a <!-- 1 --> b | c <!-- 2 --> d |\n| e | f |"
    text = f"| name <!-- ask Bob --> | price <!-- old --> |\n|---|---|\n{rows}\n\nend"
    (section,) = read(text, DocumentFormat.MARKDOWN).sections
    header, row = "| name  | price  |", "| a  b | c  d |"
    assert section.text == f"{header}\n|---|---|\n{row}\n| e | f |\n\nend"
    (table,) = section.blocks
    assert isinstance(table, Table)
    assert table.header == header
    assert section.text[table.rows : table.end].splitlines()[0] == row


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<tr><td>Price<div>12 EUR<td>13 EUR</tr>", "Price 12 EUR | 13 EUR"),
        ("<tr><td>one <ul><li>two <td>three<tr><td>x<td>y", "one two | three\nx | y"),
        ("<caption>first<div>more<tr><td>x<td>y", "first more\nx | y"),
    ],
)
def test_a_cell_that_is_open_when_the_next_begins_keeps_its_text(html: str, text: str) -> None:
    assert read(f"<table>{html}</table>", DocumentFormat.HTML).text.split() == text.split()


def test_what_is_no_text_is_none_in_the_headline_of_a_pages_header_either() -> None:
    page = "<header><h1>Site <script>var x</script><span hidden>hid</span><svg><title>Logo</title></svg></h1></header>"
    reading = read(f"{page}<p>Text.", DocumentFormat.HTML)
    assert (reading.title, reading.text) == ("Site", "# Site\n\nText.")


def test_cells_that_reach_below_add_so_much_and_no_more() -> None:
    for cells in (1_000, 4_000):
        page = "<table><tr>" + "<td rowspan=1000>1" * cells + "<tr><td>x" * 400
        assert len(read(page, DocumentFormat.HTML).text) < 4 * 500_000 + len(page)


@pytest.mark.parametrize("format_", [DocumentFormat.TEXT, DocumentFormat.MARKDOWN])
def test_a_carriage_return_alone_ends_a_line(format_: DocumentFormat) -> None:
    assert read("a\rb\r\nc", format_).text == "a\nb\nc"
