"""An HTML page that needs nothing else: style and plots inside, no script, no resource from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #6a7078; --rule: #d9dce0; --accent: #0b6e99; --back: #fff;
  --good: #1a7f37; --bad: #c0392b; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ea; --soft: #9aa1a9; --rule: #3a3f45; --accent: #5bb8e0; --back: #17191c; --good: #4cb86a;
    --bad: #f0776a; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); max-width: 1000px;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
.lead { font-size: 1.1rem; } .soft { color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem .3rem 0; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; }
svg { max-width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg .tick { fill: var(--soft); } svg .grid { stroke: var(--rule); } svg .zero { stroke: var(--ink); }
.passed { color: var(--good); } .failed { color: var(--bad); }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def html_page(title: str, body: str, style: str = "") -> str:
    """The whole page; `style` is added to the style that all pages share. `body` is HTML, the title is not."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}{style}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def html_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain texts, scrolled where it is wider than the page."""
    head = "".join(f"<th>{escape(header)}</th>" for header in headers)
    lines = ("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(lines)}</table></div>'
