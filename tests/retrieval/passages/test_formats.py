"""Documents of the other formats, written and found again over the real vector engine."""

from __future__ import annotations

import json

import pytest

from tests.support.retrieval.documents import search
from tests.support.retrieval.pdf_files import pdf
from trivet.errors import DocumentRejected
from trivet.prompts.template.examples import example_of
from trivet.retrieval.passages.formats.pages.pdf import read_pdf
from trivet.retrieval.passages.limits import DocumentLimits
from trivet.retrieval.service import IndexService
from trivet.types.passage import Document, DocumentFormat
from trivet.types.prompt import WorkedExample

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]


def lines(document_id: str, *values: dict[str, str], tenant: str = "") -> Document:
    content = "\n".join(map(json.dumps, values)).encode()
    return Document(document_id, content, DocumentFormat.JSON_LINES, tenant=tenant)


async def test_a_pdf_is_found_and_cited_by_its_range(service: IndexService) -> None:
    content = pdf([["The lamp weighs", "12 grams."], ["The hub needs a socket."]], title="Manual")
    done = await service.upsert("handbook", Document("manual", content, DocumentFormat.PDF))
    assert done.passages == 2
    found = (await search(service, "what is the weight of the lamp")).passages
    assert (found[0].title, found[0].text) == ("Manual", "The lamp weighs\n12 grams.")
    text = read_pdf(content, DocumentLimits(pages=10, characters=1000)).text
    assert [text[one.start : one.end] for one in found] == [one.text for one in found]
    with pytest.raises(DocumentRejected, match="document 'manual': it is damaged"):
        await service.upsert("handbook", Document("manual", content[:80], DocumentFormat.PDF))
    assert len((await search(service, "weight of the lamp")).passages) == 2  # the one that was there stays


async def test_each_line_is_found_as_it_was_cut(service: IndexService) -> None:
    one, two = {"text": "The valve costs 7 euros.\n\nWith tax.", "title": "Valve"}, {"text": "The pump is blue."}
    await service.upsert("handbook", lines("nodes", one, two))
    found = (await search(service, "price of the valve")).passages
    assert (found[0].title, found[0].text) == ("nodes > Valve", one["text"])
    assert {passage.text for passage in found} == {one["text"], two["text"]}
    with pytest.raises(DocumentRejected, match="document 'nodes': line 2"):
        await service.upsert("handbook", lines("nodes", one, {"txt": "x"}))


async def test_the_nearest_example_comes_first_and_anothers_never(service: IndexService) -> None:
    await service.upsert("handbook", lines("e1", {"question": "How heavy is the drone?", "answer": "Two kilos."}))
    await service.upsert("handbook", lines("e2", {"question": "May I return it?", "answer": "For 30 days."}))
    await service.upsert("handbook", lines("e3", {"question": "How heavy?", "answer": "Secret."}, tenant="bolt"))
    found = (await search(service, "what is the weight of that drone", tenant="acme")).passages
    examples = [example_of(passage) for passage in found]
    assert examples[0] == WorkedExample(found[0].id, "How heavy is the drone?", "Two kilos.")
    assert [one.answer for one in examples if one is not None] == ["Two kilos.", "For 30 days."]
