"""Every link leads somewhere; every page can be found from the index of pages; every word is in the glossary."""

from __future__ import annotations

import re

import pytest

from tests.support.pages.markdown_pages import ROOT, Page, pages

PAGES = {page.path: page for page in pages()}
GLOSSARY = ROOT / "docs" / "glossary.md"
# Words with a meaning of their own here: where README or a page uses one, the glossary has it.
WORDS = (
    *("adapter", "arm", "backend", "desired state", "drain", "engine name", "few-shot example", "gate", "gateway"),
    *("hybrid", "index", "kv cache", "lease", "leg", "lora", "merge", "nano-usd", "passage", "peft", "prefix"),
    *("prefix cache ledger", "preflight", "primed", "quantum", "quota", "rag", "receipt", "reconciler", "resident"),
    *("revision", "route", "rrf", "safetensors", "salt", "slot", "snapshot", "suite", "tenant", "unit", "variant"),
    *("bm25", "cross-encoder", "dora", "document log", "warm", "operator", "vector engine"),
)


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: str(page.path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Page) -> None:
    wrong = []
    for line, target in page.links:
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        goal = (page.path.parent / path).resolve() if path else page.path
        if not goal.exists():
            wrong.append(f"{page.path}:{line}: no file {path}")
        elif anchor and anchor not in PAGES.get(goal, Page(goal)).anchors:
            wrong.append(f"{page.path}:{line}: no heading #{anchor} in {goal.name}")
    assert wrong == []


def test_every_page_of_docs_is_in_the_index_of_pages() -> None:
    index = PAGES[ROOT / "docs" / "README.md"]
    linked = {(index.path.parent / target.partition("#")[0]).resolve() for _, target in index.links}
    missing = [path.name for path in PAGES if path.parent == index.path.parent and path not in linked | {index.path}]
    assert missing == []


def test_each_decision_has_a_number_of_its_own() -> None:
    titles = {path.name: path.read_text().splitlines()[0] for path in (ROOT / "docs" / "decisions").glob("*.md")}
    numbers = sorted(int(name[:4]) for name in titles)
    assert numbers == list(range(1, len(titles) + 1))
    assert [name for name, title in titles.items() if not title.startswith(f"# {int(name[:4])}. ")] == []


def test_the_glossary_explains_the_words_and_is_in_order() -> None:
    words = [re.sub(r" \(.*\)", "", heading).lower() for heading in PAGES[GLOSSARY].headings[1:]]
    assert words == sorted(words)
    assert sorted(set(WORDS) - set(words)) == []


def test_every_entry_of_the_glossary_is_explained() -> None:
    text = GLOSSARY.read_text()
    entries = re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]
    assert [entry for entry in entries if len(entry.split()) < 5] == []
