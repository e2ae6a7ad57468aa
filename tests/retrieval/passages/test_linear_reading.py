"""Reading and splitting grow as the document does, whatever is in it."""

from __future__ import annotations

import contextlib
import gc
import time
from dataclasses import replace

import pytest

from tests.support.retrieval.word_tokens import WordTokens
from trivet.errors import DocumentRejected
from trivet.retrieval.passages.limits import DocumentLimits
from trivet.retrieval.passages.parsing import read
from trivet.retrieval.passages.splitting import Splitter
from trivet.retrieval.settings import IndexSettings
from trivet.types.passage import Document, DocumentFormat

pytestmark = pytest.mark.process
RUNS = [
    "<a>x", "<div>x", "<div>", "</x>", "<table>x", "<table><tr><td>x", "<b id=1><p>x", "<ul><li>x", "<td rowspan=9>x",
    "<!--", "<![ x", "&amp", "[", "*", "`", "`` x", "#", "# x\n", "|", "|a|b|\n", " ", "\n", "x\n\n", "> x\n", "- x\n",
    "x\n=\n", "~~~\n", "\r", "\u0301", "w", "0a9f", "漢", "漢。", ".", '."', '"', "a-\n", "A b c d. ", "\\",
    "<sup>1", "<", "<dl><dt>x<dd>y", "<dt>x<dd>y", "<dl><dt>x</dl>", "<p>x:<ul><li>y</ul>", "x:\n- y\n\n",
]  # fmt: skip
SIZE = 5_000  # repetitions
MOST = 2.5 * 2.5  # times the work for four times the input
NOISE = 0.05  # seconds of CPU time


def work(splitter: Splitter, run: str, format_: DocumentFormat, size: int) -> float:
    """Seconds of CPU time."""
    document = Document("d", ("start " + run * size + " end").encode(), format_)
    gc.disable()  # a collection looks at everything that other tests have left behind
    try:
        started = time.process_time()
        with contextlib.suppress(DocumentRejected):  # there is no text in some
            splitter.split(document)
        return time.process_time() - started
    finally:
        gc.enable()


@pytest.mark.parametrize("format_", [DocumentFormat.HTML, DocumentFormat.MARKDOWN, DocumentFormat.TEXT])
@pytest.mark.parametrize("run", RUNS)
def test_four_times_the_input_is_not_much_more_than_four_times_the_work(
    run: str, format_: DocumentFormat, settings: IndexSettings
) -> None:
    limits = DocumentLimits(passages=10**9)
    splitter = Splitter(replace(settings, chunk_tokens=180, pack=True), WordTokens(), 246, limits)
    small = min(work(splitter, run, format_, SIZE) for _ in range(2))
    for _ in range(3):  # only what is slow each time is slow
        large = work(splitter, run, format_, 4 * SIZE)
        if large <= MOST * small + NOISE:
            return
    pytest.fail(f"{small:.3f} s for {SIZE} repetitions, {large:.3f} s for {4 * SIZE}")


def test_a_tokenizer_is_given_each_character_a_few_times_at_most(settings: IndexSettings) -> None:
    looked = []
    for size in (2_000, 4_000):
        tokens = WordTokens()
        text = (
            "# Heading\n\n"
            + "A sentence with some words in it. " * size
            + "\n\n| a | b |\n|--|--|\n"
            + "| c | d |\n" * size
        )
        Splitter(settings, tokens, 246).split(Document("d", text.encode(), DocumentFormat.MARKDOWN))
        looked.append(tokens.characters / len(text))
    assert looked[1] <= 1.1 * looked[0]


@pytest.mark.parametrize("cell", ["<!--x-->|", "<!--x|", "`<!--x-->`|"])
def test_a_row_of_cells_with_comments(cell: str) -> None:
    def seconds(cells: int) -> float:
        text = "|" + cell * cells + "\n|" + "-|" * cells + "\n|" + cell * cells
        gc.disable()
        try:
            started = time.process_time()
            read(text, DocumentFormat.MARKDOWN)
            return time.process_time() - started
        finally:
            gc.enable()

    seconds(100)
    # The square of it took seconds for as many cells.
    assert seconds(4 * 2_000) < MOST * seconds(2_000) + 10 * NOISE
