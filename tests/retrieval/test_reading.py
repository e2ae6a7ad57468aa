"""Documents of each format as sections."""

from __future__ import annotations

from trivet.retrieval.documents.reading import Reading, Section, read
from trivet.types.passage import DocumentFormat


def check_ranges(reading: Reading) -> None:
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
