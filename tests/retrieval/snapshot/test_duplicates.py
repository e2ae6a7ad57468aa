"""Copies of a text take one place; what differs in what it says keeps its own."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from tests.support.retrieval.documents import markdown
from trivet.retrieval.service import IndexService
from trivet.retrieval.snapshot.duplicates import DuplicateFilter, text_digest
from trivet.stores.records import DocumentKey, FoundPassage, Revision
from trivet.types.passage import SearchQuery

real = pytest.mark.asyncio(loop_scope="module")

PROSE = (
    "Every employee of the office in Lisbon may borrow a bicycle from the cellar for a day. The keys hang beside the "
    "door and are returned in the evening. Whoever damages a bicycle tells the porter, who has it mended, and nobody "
    "pays for that unless it was done on purpose."
)


def found(text: str, document: str = "a", n: int = 0, tenant: str = "") -> FoundPassage:
    of = Revision(DocumentKey(tenant, document), 1, "d")
    return FoundPassage(1.0, 0.5, True, of, n, "", text, 9, 0, len(text), None, None, text_digest(text))


async def asked(service: IndexService, text: str, top_k: int, tenant: str = "", **options: bool | int) -> list[str]:
    query = SearchQuery("handbook", text, tenant, top_k, **{"collapse": True, **options})  # type: ignore[arg-type]
    return [one.document_id for one in (await service.search(query)).passages]


@pytest.mark.parametrize(
    ("other", "copy"),
    [
        (f"  {PROSE.upper()}\n", True),
        (PROSE.replace("a day", "one day"), True),
        (PROSE.replace(". The", "; the").replace("bicycle", "**bicycle**"), True),
        (PROSE.replace("a day", "1 day"), False),
        (PROSE.replace("Lisbon", "Porto"), False),  # which the question has
        (PROSE.replace("door", "a < b"), False),
        (PROSE[: len(PROSE) // 2], False),
        ("Something else.", False),
    ],
)
def test_a_copy_says_nothing_else(other: str, copy: bool) -> None:
    copies = DuplicateFilter("may I borrow a bicycle in Lisbon?")
    assert copies.add(found(PROSE))
    assert copies.add(found(other, "b")) is not copy


def test_the_work_of_comparing_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = DuplicateFilter("x")
    counted, split = Mock(wraps=copies._counted), Mock(wraps=copies._split)
    monkeypatch.setattr(copies, "_counted", counted)
    monkeypatch.setattr(copies, "_split", split)
    for number in range(1000):
        copies.add(found(f"Row {number} of the table.", n=number))
    assert counted.call_count == 2 * 256
    assert split.call_count == 2 * 4096


@real
@pytest.mark.embedding
async def test_copies_leave_their_places_to_others(service: IndexService, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(60):
        await service.upsert("handbook", markdown(f"copy{number:02}", PROSE))
    for name in ("x", "y", "z"):
        await service.upsert("handbook", markdown(name, f"About the bicycle shed of house {name}."))
    store = service.indexes["handbook"].live.store
    searched = Mock(wraps=store.search)
    monkeypatch.setattr(store, "search", searched)
    names = await asked(service, "Who may borrow a bicycle?", 4)
    assert len(names) == 4
    assert sum(name.startswith("copy") for name in names) == 1
    assert [call.kwargs["limit"] for call in searched.call_args_list][-2:] == [8, 8], "one more round, not a wider one"
    kept = await asked(service, "Who may borrow a bicycle?", 4, collapse=False)
    assert all(name.startswith("copy") for name in kept)


@real
@pytest.mark.embedding
async def test_copies_without_a_digest_are_recognised_by_their_text(
    service: IndexService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "trivet.retrieval.snapshot.snapshot.text_digest", lambda _: ""
    )  # as an earlier version wrote them
    for number in range(12):
        await service.upsert("handbook", markdown(f"copy{number:02}", PROSE))
    await service.upsert("handbook", markdown("x", "About the bicycle shed."))
    names = await asked(service, "Who may borrow a bicycle?", 2)
    assert sorted(name[:4] for name in names) == ["copy", "x"]


@real
@pytest.mark.embedding
async def test_what_stands_for_copies_is_one_that_the_caller_may_see(service: IndexService) -> None:
    for tenant in ("acme", "bolt", "zeta"):
        await service.upsert("handbook", markdown(f"of-{tenant}", PROSE, tenant=tenant))
    for tenant in ("acme", "bolt", "zeta"):
        assert await asked(service, "Who may borrow a bicycle?", 3, tenant) == [f"of-{tenant}"]
    assert await asked(service, "Who may borrow a bicycle?", 3) == []


@real
@pytest.mark.embedding
async def test_a_copy_that_goes_is_followed_by_another(service: IndexService) -> None:
    """Deleted between two rounds: the text is not lost with what stood for it."""
    for number in range(20):
        await service.upsert("handbook", markdown(f"copy{number:02}", PROSE))
    await service.upsert("handbook", markdown("x", "About the bicycle shed."))
    store = service.indexes["handbook"].live.store
    search, rounds = store.search, 0

    async def meanwhile(*arguments: object, **options: object) -> list[FoundPassage]:
        nonlocal rounds
        rounds += 1
        if rounds == 2:
            await service.delete("handbook", [options["unwanted"].kept[0].of.key.id])  # type: ignore[attr-defined]
        return await search(*arguments, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "search", meanwhile)
        names = await asked(service, "Who may borrow a bicycle?", 2)
    assert rounds > 2
    assert sorted(name[:4] for name in names) == ["copy", "x"]
    assert set(names) <= {*(f"copy{number:02}" for number in range(20)), "x"}
