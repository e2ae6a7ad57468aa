"""Documents in, passages out: a real engine and the real model."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.retrieval.documents import markdown, search, texts
from trivet.errors import DocumentRejected, InvalidRequest, NotFound
from trivet.retrieval.embedding.embedding import OnnxEmbedder
from trivet.retrieval.service import IndexService
from trivet.types.passage import Acknowledgement, IndexStatus, SearchQuery

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]

HANDBOOK = {
    "leave": "# Leave\n\nParental leave lasts twelve weeks and is paid in full.\n\nAsk your manager two months before.",
    "travel": "# Travel\n\nThe daily allowance for a journey abroad is 45 euro.\n\nHotels are booked by the office.",
    "it": "# Computers\n\nA forgotten password is reset with form E-4711.\n\nLaptops are replaced every four years.",
    "food": "# Canteen\n\nLunch is served from half past eleven to two.",
}


async def fill(service: IndexService) -> None:
    for document_id, text in HANDBOOK.items():
        await service.upsert("handbook", markdown(document_id, text))


async def test_meaning_and_identifiers_are_both_found(service: IndexService) -> None:
    await fill(service)
    for question, document_id in {
        "how long can I stay at home with my new baby": "leave",
        "money per day on a trip to another country": "travel",
        "E-4711": "it",
        "when can I eat": "food",
        "laptop": "it",
    }.items():
        result = await search(service, question, top_k=3)
        assert result.passages[0].document_id == document_id, question
        order = [(-passage.score, passage.document_id) for passage in result.passages]
        assert order == sorted(order)  # also among equals, so that the same question gets the same passages
        assert len(order) == 3


async def test_a_passage_says_where_it_is_from(service: IndexService) -> None:
    await fill(service)
    result = await search(service, "E-4711", top_k=1)
    (passage,) = result.passages
    assert passage.id == "it@1#0"
    assert passage.title == "Computers"
    assert passage.text == "A forgotten password is reset with form E-4711."
    assert passage.revision == 1
    assert passage.score == pytest.approx(1 / 6 + 1 / 2)  # first of both searches, k = 2, weights .2 and 1
    assert result.snapshot == (await service.status())[0].snapshot


async def test_a_score_below_the_wanted_one_is_left_out(service: IndexService) -> None:
    await fill(service)
    found = await service.search(SearchQuery("handbook", "E-4711", "acme", 5, min_score=0.6))
    assert [passage.document_id for passage in found.passages] == ["it"]


async def test_nothing_is_found_in_nothing(service: IndexService) -> None:
    assert await texts(service, "anything") == []
    await fill(service)
    assert await texts(service, " \n") == []
    assert len(await texts(service, "the of and")) == 5, "only stop words: the dense search still finds"


async def test_replacing_counts_revisions_and_the_same_again_is_unchanged(service: IndexService) -> None:
    document = markdown("leave", HANDBOOK["leave"], tags=("b", "a"))
    assert await service.upsert("handbook", document) == Acknowledgement("leave", 1, False, 2)
    assert await service.upsert("handbook", document) == Acknowledgement("leave", 1, True, 2)
    again = markdown("leave", HANDBOOK["leave"], tags=("a", "b", "a"))
    assert (await service.upsert("handbook", again)).unchanged, "tags are a set"
    new = markdown("leave", "# Leave\n\nParental leave lasts twenty weeks.")
    assert await service.upsert("handbook", new) == Acknowledgement("leave", 2, False, 1)
    assert await texts(service, "parental leave") == ["Parental leave lasts twenty weeks."]
    assert await service.upsert("handbook", document) == Acknowledgement("leave", 3, False, 2)
    assert {passage.revision for passage in (await search(service, "leave")).passages} == {3}


async def test_a_change_of_tags_alone_is_a_change(service: IndexService) -> None:
    await service.upsert("handbook", markdown("a", "Some text."))
    assert not (await service.upsert("handbook", markdown("a", "Some text.", tags=("new",)))).unchanged
    assert await texts(service, "text", tags=("new",)) == ["Some text."]


async def test_tenants_may_use_the_same_id_without_seeing_one_another(service: IndexService) -> None:
    owners = ("", "acme", "other")
    for owner in owners:
        done = await service.upsert("handbook", markdown("a", f"Written by {owner or 'all'}.", tenant=owner))
        assert done == Acknowledgement("a", 1, False, 1)
    await service.upsert("handbook", markdown("a", "Written again by acme.", tenant="acme"))
    found = (await search(service, "written", tenant="acme")).passages
    assert {passage.id: passage.text for passage in found} == {
        "a@1#0": "Written by all.",
        "acme!a@2#0": "Written again by acme.",
    }
    assert await service.delete("handbook", ["a"], "other") == ["a"]
    assert await texts(service, "written", tenant="other") == ["Written by all."]
    assert await service.delete("handbook", ["a"]) == ["a"]
    assert await texts(service, "written", tenant="acme") == ["Written again by acme."]
    assert await texts(service, "written", tenant="") == []


async def test_what_is_not_valid_is_not_shown(service: IndexService, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000.0
    clock = iter(now + later for later in (0, 0, 59, 59, 60, 60, 61, 61))  # each search looks twice
    bounds = {"always": (None, None), "past": (None, now - 1), "future": (now + 60, None), "now": (now - 60, now + 60)}
    for name, (first, last) in bounds.items():
        document = replace(markdown(name, f"Shown {name}."), valid_from=first, valid_until=last)
        await service.upsert("handbook", document)
    monkeypatch.setattr("trivet.retrieval.snapshot.search.time", SimpleNamespace(time=lambda: next(clock)))
    seen = [{text.split()[1] for text in await texts(service, "shown")} for _ in range(4)]
    assert seen == [{"always.", "now."}, {"always.", "now."}, {"always.", "future."}, {"always.", "future."}]


async def test_at_most_so_many_passages_of_a_document_and_others_in_their_place(service: IndexService) -> None:
    rules = "\n\n".join(f"The rule about bicycles, number {number}." for number in range(40))
    await service.upsert("handbook", markdown("rules", rules))
    for name in ("a", "b", "c"):
        await service.upsert("handbook", markdown(name, f"Where the cars of group {name} are."))
    query = SearchQuery("handbook", "The rule about bicycles", "", 5, max_per_document=2)
    found = (await service.search(query)).passages
    assert sorted(passage.document_id for passage in found) == ["a", "b", "c", "rules", "rules"]


async def test_a_passage_has_its_place_and_its_similarity(service: IndexService, embedder: OnnxEmbedder) -> None:
    text = "First of all.\n\nThe second paragraph is about ferrets."
    await service.upsert("handbook", markdown("a", text))
    (passage,) = (await search(service, "ferrets", top_k=1)).passages
    assert text[passage.start : passage.end] == passage.text == "The second paragraph is about ferrets."
    query, (vector,) = await embedder.embed_query("ferrets"), await embedder.embed_passages([f"a\n{passage.text}"])
    assert passage.similarity == pytest.approx(float(query @ vector), abs=1e-4)


async def test_the_tags_of_a_search_are_bounded(service: IndexService) -> None:
    tags = tuple(f"t{n}" for n in range(24))
    await service.upsert("handbook", markdown("a", "Some text.", tags=tags))
    assert await texts(service, "text", tags=tags) == ["Some text."]
    for wrong in ((*tags, "t24"), ("t" * 257,), tags * 5000):
        with pytest.raises(InvalidRequest, match="at most 24 tags of at most 256 characters"):
            await search(service, "text", tags=wrong)


async def test_a_search_is_one_call_to_our_own_engine(service: IndexService, monkeypatch: pytest.MonkeyPatch) -> None:
    """The heads and the vectors come along: this is most of a search's time."""
    await fill(service)
    connection = service.indexes["handbook"].live.store._connection
    searching, calls = asyncio.current_task(), list[float]()

    def call(timeout: float) -> AbstractAsyncContextManager[Any]:
        if asyncio.current_task() is searching:  # what the index does by itself goes on meanwhile
            calls.append(timeout)
        return original(timeout)

    original = connection.call
    monkeypatch.setattr(connection, "call", call)
    assert len((await search(service, "laptop", top_k=4)).passages) == 4
    assert len(calls) == 1


async def test_a_deleted_document_is_never_found_again(service: IndexService) -> None:
    await fill(service)
    assert await service.delete("handbook", ["leave", "nothing", "leave", "it"]) == ["leave", "it"]
    assert await service.delete("handbook", ["leave"]) == []
    for question in ("parental leave", "E-4711"):
        assert not {"leave", "it"} & {p.document_id for p in (await search(service, question)).passages}
    back = await service.upsert("handbook", markdown("leave", HANDBOOK["leave"]))
    assert not back.unchanged
    assert back.revision > 1, "a revision never means two contents"
    assert (await search(service, "parental leave")).passages[0].document_id == "leave"


async def test_tenants_see_their_own_and_shared_documents_only(service: IndexService) -> None:
    await service.upsert("handbook", markdown("shared", "The secret number is one."))
    await service.upsert("handbook", markdown("acme", "The secret number is two.", tenant="acme"))
    await service.upsert("handbook", markdown("other", "The secret number is three.", tenant="other"))
    seen = {tenant: set(await texts(service, "secret number three", tenant=tenant)) for tenant in ("acme", "other", "")}
    assert seen["acme"] == {"The secret number is one.", "The secret number is two."}
    assert seen["other"] == {"The secret number is one.", "The secret number is three."}
    assert seen[""] == {"The secret number is one."}


async def test_all_tags_must_be_there(service: IndexService) -> None:
    await service.upsert("handbook", markdown("a", "Alpha.", tags=("hr", "de")))
    await service.upsert("handbook", markdown("b", "Beta.", tags=("hr",)))
    assert set(await texts(service, "x", tags=("hr",))) == {"Alpha.", "Beta."}
    assert await texts(service, "x", tags=("de", "hr")) == ["Alpha."]
    assert await texts(service, "x", tags=("h",)) == []


async def test_what_is_refused(service: IndexService) -> None:
    for call in (
        service.search(SearchQuery("nowhere", "x", "", 1)),
        service.upsert("nowhere", markdown("a", "x")),
        service.delete("nowhere", ["a"]),
    ):
        with pytest.raises(NotFound, match="no index"):
            await call
    for top_k in (0, -1, 101):
        with pytest.raises(InvalidRequest):
            await search(service, "x", top_k=top_k)
    for document in (markdown("../a", "x"), markdown("a", ""), markdown("a", "# h"), markdown("a", "x" * 2**22 + "x")):
        with pytest.raises(DocumentRejected):
            await service.upsert("handbook", document)
    with pytest.raises(DocumentRejected):
        await service.delete("handbook", [""])
    assert (await service.status())[0].documents == 0


async def test_status_counts_what_is_there(service: IndexService) -> None:
    await fill(service)
    await service.upsert("handbook", markdown("leave", "Short."))
    await service.delete("handbook", ["food"])
    (status,) = await service.status()
    assert status == IndexStatus(
        status.name, status.snapshot, 3, 5, "all-MiniLM-L6-v2", 384, unoptimised=status.unoptimised
    )
    assert len(status.snapshot) == 8


async def test_a_large_document_appears_whole(service: IndexService) -> None:
    text = "\n\n".join(f"Rule {number} is about the matter of case {number}." for number in range(300))
    acknowledged = await service.upsert("handbook", markdown("rules", text))
    assert acknowledged.passages == 300
    assert (await service.status())[0].passages == 300
    assert (await texts(service, "Rule 217", top_k=1)) == ["Rule 217 is about the matter of case 217."]


async def test_a_search_can_be_cancelled(service: IndexService) -> None:
    await fill(service)
    for delay in (0, 0.0005, 0.001, 0.002, 0.004):
        searching = asyncio.create_task(search(service, f"a question asked at {delay}"))
        await asyncio.sleep(delay)
        done = not searching.cancel()  # a fast machine has found it by then
        assert delay or not done
        with nullcontext() if done else pytest.raises(asyncio.CancelledError):
            await searching
    assert len(await texts(service, "leave")) == 5
