"""Snapshots beside the live one: made, checked, swapped, taken up again after a stop; and going back to old ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.retrieval.documents import built, markdown, search, texts
from trivet.errors import FailedPrecondition, NotFound, RetrievalUnavailable
from trivet.retrieval.index import maintenance, retained
from trivet.retrieval.service import IndexService
from trivet.retrieval.settings import IndexSettings
from trivet.retrieval.snapshot.resources import IndexResources
from trivet.retrieval.snapshot.search import search as search_snapshot
from trivet.retrieval.snapshot.snapshot import Snapshot
from trivet.stores.collection_builder import CollectionBuilder
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.records import PassageRecord
from trivet.stores.vector_process import VectorProcess
from trivet.types.passage import BuildProgress, IndexStatus, Passage, SearchQuery

MakeService = Callable[..., Awaitable[IndexService]]
OpenStores = Callable[..., IndexResources]
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]

TEXT = "\n\n".join(f"Sentence {n} of this document is about the number {n}." for n in range(6))


async def status(service: IndexService) -> IndexStatus:
    return (await service.status())[0]


async def fill(service: IndexService) -> None:
    for name in ("a", "b", "c"):
        await service.upsert("handbook", markdown(name, TEXT.replace("this document", f"document {name}")))
    await service.upsert("handbook", markdown("own", "Only acme may read this.", tenant="acme"))
    await service.upsert("handbook", markdown("gone", "This was deleted."))
    await service.delete("handbook", ["gone"])


async def rebuilt(service: IndexService) -> list[BuildProgress]:
    events = [event async for event in service.build("handbook", rebuild=True)]
    return [event for event in events if isinstance(event, BuildProgress)]


async def test_other_settings_serve_as_before_until_a_build_has_made_a_snapshot(make_service: MakeService) -> None:
    before = await make_service()
    await fill(before)
    old = await status(before)
    await before.close()
    service = await make_service(chunk_tokens=120, pack=True)
    due = await status(service)
    assert (due.snapshot, due.passages) == (old.snapshot, old.passages)
    assert "settings" in due.build_due
    progress = await built(service)
    assert [(one.stage, one.done) for one in progress] == [
        *(("write", n) for n in range(1, 6)),
        ("check", 0),
        ("check", 1),
        ("swap", 1),
    ]
    new = await status(service)
    assert new.snapshot != old.snapshot
    assert (new.documents, new.retained, new.build_due) == (old.documents, (old.snapshot,), "")
    assert new.passages < old.passages, "paragraphs share a passage now"
    found = (await search(service, "document a", tenant="acme")).passages
    assert {passage.revision for passage in found} == {1}
    assert "This was deleted." not in await texts(service, "deleted")
    assert "Only acme may read this." in await texts(service, "who may read", tenant="acme")
    assert "Only acme may read this." not in await texts(service, "who may read", tenant="other")
    assert await built(service) == [], "nothing is due any more"


async def test_a_rollback_returns_the_chunking_and_never_old_facts(make_service: MakeService) -> None:
    before = await make_service()
    await fill(before)
    old = await status(before)
    await before.close()
    service = await make_service(chunk_tokens=120, pack=True)
    await built(service)
    new = await status(service)
    await service.upsert("handbook", markdown("a", "Document a is quite different now."))
    await service.upsert("handbook", markdown("new", "A document that came after the swap."))
    await service.delete("handbook", ["b"])
    back = await service.rollback("handbook")
    assert (back.snapshot, back.retained) == (old.snapshot, (new.snapshot,))
    assert "settings" in back.build_due
    assert back.documents == new.documents, "one more, one less"
    found = (await search(service, "document number", top_k=50)).passages
    by_document = {passage.document_id: passage for passage in found}
    assert set(by_document) == {"a", "c", "new", "own"}
    assert by_document["a"].text == "Document a is quite different now."
    assert sum(passage.document_id == "c" for passage in found) == 6, "a paragraph is a passage again"
    await service.upsert("handbook", markdown("c", "Document c is different, too."))
    forth = await service.rollback("handbook", new.snapshot)
    assert forth.snapshot == new.snapshot
    assert "Document c is different, too." in await texts(service, "document c", tenant="")
    with pytest.raises(NotFound, match="keeps no snapshot 'nonsense'"):
        await service.rollback("handbook", "nonsense")


async def test_there_may_be_nothing_to_return_to(service: IndexService) -> None:
    with pytest.raises(FailedPrecondition, match="keeps no snapshot besides the live one"):
        await service.rollback("handbook")


async def test_retained_snapshots_follow_and_no_more_than_wanted_are_kept(make_service: MakeService) -> None:
    service = await make_service(retain=1)
    await fill(service)
    first = (await status(service)).snapshot
    await rebuilt(service)
    await rebuilt(service)
    now = await status(service)
    assert (now.snapshot, now.retained) == (f"{first}-3", (f"{first}-2",))
    await service.upsert("handbook", markdown("d", "Document d is new."))
    async with asyncio.timeout(60):
        while service.indexes["handbook"].lag or (await status(service)).documents != 5:
            await asyncio.sleep(0.1)


async def test_a_build_that_is_stopped_goes_on_where_it_was(
    make_service: MakeService, open_stores: OpenStores, settings: IndexSettings
) -> None:
    service = await make_service()
    await fill(service)
    building = service.build("handbook", rebuild=True)
    steps = 0
    async with contextlib.aclosing(building):
        async for progress in building:
            steps += isinstance(progress, BuildProgress) and progress.stage == "write"
            if steps == 3:
                break
    assert (await status(service)).snapshot.count("-") == 0, "the live one stays"
    await service.upsert("handbook", markdown("late", "This came between the two halves."))
    await service.close()
    service = await make_service()
    again = [one.document_id for one in await rebuilt(service) if one.stage == "write"]
    assert len(again) == 3, "what was done is not done again"
    assert again[-1] == "late"
    now = await status(service)
    assert now.snapshot.endswith("-2")
    assert "This came between the two halves." in await texts(service, "halves")


async def test_writes_while_a_snapshot_is_made_and_swapped_are_in_both(service: IndexService) -> None:
    await fill(service)
    stop = False
    acknowledged: dict[str, int] = {}

    async def write(name: str) -> None:
        number = 0
        while not stop:
            number += 1
            await service.upsert("handbook", markdown(name, f"Writer {name} has come to number {number}."))
            acknowledged[name] = number
            await asyncio.sleep(0.05)

    async def read() -> None:
        while not stop:
            floor = dict(acknowledged)
            try:
                found = await texts(service, "what number has the writer come to", top_k=50)
            except RetrievalUnavailable:
                continue  # it may fail meanwhile, it may not leave out
            for name, least in floor.items():
                (number,) = [int(text.split()[-1].rstrip(".")) for text in found if text.startswith(f"Writer {name} ")]
                assert number >= least
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(write(f"w{n}")) for n in range(2)] + [asyncio.create_task(read())]
    try:
        await rebuilt(service)
        for _ in range(3):  # the follower is about its work on what becomes live
            await asyncio.sleep(0.3)
            await service.rollback("handbook")
    finally:
        stop = True
    await asyncio.gather(*tasks)
    found = await texts(service, "what number has the writer come to", top_k=20)
    for name, number in acknowledged.items():
        assert f"Writer {name} has come to number {number}." in found


async def test_a_rollback_while_a_snapshot_is_made_holds(service: IndexService) -> None:
    await fill(service)
    first = (await status(service)).snapshot
    await rebuilt(service)
    second = (await status(service)).snapshot

    async def build() -> None:
        async for progress in service.build("handbook", rebuild=True):
            if isinstance(progress, BuildProgress) and (progress.stage, progress.done) == ("check", 0):
                await service.rollback("handbook")

    with pytest.raises(FailedPrecondition, match=f"snapshot {first} was made live while .* was made"):
        await build()
    now = await status(service)
    assert (now.snapshot, now.retained) == (first, (second,))
    await service.upsert("handbook", markdown("late", "This came afterwards."))
    await rebuilt(service)
    assert (await status(service)).snapshot not in (first, second)


async def test_a_snapshot_that_answers_less_does_not_become_live(
    make_service: MakeService, settings: IndexSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = settings.corpus.parent / "questions.jsonl"
    service = await make_service(questions=questions)
    await fill(service)
    live = await status(service)
    lines = [f'{{"question": "sentence {n} of document {d}", "document": "{d}"}}' for n in range(3) for d in "abc"]
    questions.write_text("\n".join([*lines, '{"question": "without an answer", "document": ""}', ""]))

    async def nothing(snapshot: Snapshot, query: SearchQuery) -> list[Passage]:
        return [] if snapshot.name.endswith("-2") else await search_snapshot(snapshot, query)

    with monkeypatch.context() as patch:
        patch.setattr("trivet.retrieval.snapshot.check.search", nothing)
        with pytest.raises(FailedPrecondition, match=r"answers 0 of the index's 9 questions, the live one 9"):
            await rebuilt(service)
    assert (await status(service)).snapshot == live.snapshot
    assert len(await texts(service, "document")) == 5
    await rebuilt(service)
    assert (await status(service)).snapshot == f"{live.snapshot}-2", "the one that was made is checked again"
    questions.write_text("[]\n")
    with pytest.raises(FailedPrecondition, match=r"questions\.jsonl:1: expected"):
        await rebuilt(service)


async def test_a_snapshot_with_missing_passages_does_not_become_live(
    service: IndexService, store: QdrantStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(service)
    live = (await status(service)).snapshot
    staging = store.stage

    async def lossy(collection: str, passages: Iterable[PassageRecord]) -> None:
        await staging(collection, list(passages)[:-1] if collection.endswith("-2") else passages)

    monkeypatch.setattr(store, "stage", lossy)
    with pytest.raises(FailedPrecondition, match=r"has 15 passages and 0 .* expected 19"):
        await rebuilt(service)
    assert (await status(service)).snapshot == live


async def test_an_embedding_model_that_has_changed_is_refused_and_the_log_makes_it_good(
    open_stores: OpenStores, make_service: MakeService, settings: IndexSettings
) -> None:
    service = await make_service()
    await fill(service)
    old = await status(service)
    await service.close()
    stores = open_stores()
    database = stores.log._database
    await database.run(lambda connection: connection.execute("UPDATE snapshots SET fingerprint = 'other'"))
    other = IndexService(stores, {"handbook": settings})
    with pytest.raises(FailedPrecondition, match=r"fingerprint other; .*trivet index build .* --offline"):
        await other.start()
    await other.close()
    await other.start(replace_unusable="handbook")
    new = await status(other)
    assert (new.documents, new.passages, new.retained) == (old.documents, old.passages, (old.snapshot,))
    assert new.snapshot == f"{old.snapshot}-2"
    with pytest.raises(FailedPrecondition, match="cannot be used"):
        await other.rollback("handbook")
    await other.close()


async def test_a_collection_that_is_lost_is_made_again_from_the_log(
    make_service: MakeService, store: QdrantStore
) -> None:
    service = await make_service()
    await fill(service)
    before = await status(service)
    await service.close()
    await store.drop(service.indexes["handbook"].live.collection)
    again = await make_service()
    now = await status(again)
    assert (now.snapshot, now.documents, now.passages) == (before.snapshot, before.documents, before.passages)
    assert not (await again.upsert("handbook", markdown("a", "New."))).unchanged


async def test_a_lost_log_beside_its_collection_is_refused_and_nothing_is_dropped(
    make_service: MakeService, store: QdrantStore, tmp_path: Path
) -> None:
    service = await make_service()
    await fill(service)
    collection = service.indexes["handbook"].live.collection
    points = await store.points(collection)
    await service.close()
    for side in ("", "-wal", "-shm"):
        (tmp_path / f"documents.sqlite{side}").unlink(missing_ok=True)
    with pytest.raises(FailedPrecondition, match=r"the log was lost, .*trivet restore"):
        await make_service()
    assert await store.points(collection) == points


async def test_an_older_log_beside_a_newer_collection_serves_what_it_has_and_the_collection_is_kept(
    make_service: MakeService, store: QdrantStore, tmp_path: Path
) -> None:
    service = await make_service()
    await service.upsert("handbook", markdown("a", "Alone."))
    paths = [tmp_path / f"documents.sqlite{side}" for side in ("", "-wal", "-shm")]
    files = [path.read_bytes() for path in paths]
    await fill(service)
    collection = service.indexes["handbook"].live.collection
    await service.close()
    points = await store.points(collection)
    for path, content in zip(paths, files, strict=True):
        path.unlink()
        path.write_bytes(content)
    older = await make_service()
    assert (await status(older)).documents == 1
    assert await texts(older, "document") == ["Alone."]
    assert (await older.upsert("handbook", markdown("b", "Beside it."))).revision == 1
    assert await store.points(collection) == points, "what only it knows is still there"
    assert older.indexes["handbook"].live.collection != collection


async def test_a_snapshot_is_made_and_optimised_in_a_process_of_its_own(
    open_stores: OpenStores, engine: VectorProcess, store: QdrantStore, settings: IndexSettings, tmp_path: Path
) -> None:
    builder = CollectionBuilder(engine, store, tmp_path / "building", tmp_path / "builder.log", tmp_path / "foreign")
    stores = replace(open_stores(), builder=builder)
    service = IndexService(stores, {"handbook": settings})
    await service.start()
    await fill(service)
    old = await status(service)
    collection = f"{service.indexes['handbook'].live.collection}-2"
    building = service.build("handbook", rebuild=True)
    async with contextlib.aclosing(building):
        async for progress in building:
            if isinstance(progress, BuildProgress) and (progress.stage, progress.done) == ("write", 2):
                assert collection not in await store.collections(), "the serving process has nothing to do with it"
                break
    stages = [one.stage for one in await rebuilt(service)]
    assert stages == ["write", "write", "write", "optimise", "check", "check", "swap"]
    now = await status(service)
    assert (now.passages, now.documents, now.unoptimised) == (old.passages, old.documents, 0)
    assert now.retained == (old.snapshot,)
    assert collection in await store.collections()
    await service.upsert("handbook", markdown("new", "Written after the move."))
    assert "Written after the move." in await texts(service, "written after the move")
    await service.rollback("handbook")
    assert "Written after the move." in await texts(service, "written after the move")
    await service.close()


async def test_a_worn_snapshot_is_renewed_by_itself_and_is_not_what_a_rollback_returns_to(
    open_stores: OpenStores,
    engine: VectorProcess,
    store: QdrantStore,
    settings: IndexSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(maintenance, "_RENEW_NOT_BEFORE", 0.0)
    monkeypatch.setattr(retained, "REMOVE_AFTER", 0.0)
    builder = CollectionBuilder(engine, store, tmp_path / "building", tmp_path / "builder.log", tmp_path / "foreign")
    worn_out = replace(settings, rebuild_after=30)
    service = IndexService(replace(open_stores(), builder=builder), {"handbook": worn_out})
    await service.start()
    await service.upsert("handbook", markdown("a", TEXT))
    kept = await status(service)
    await rebuilt(service)
    worn = await status(service)
    collection = service.indexes["handbook"].live.collection
    for number in range(6):
        await service.upsert("handbook", markdown(f"d{number}", f"{TEXT}\n\nDocument d{number}."))
    async with asyncio.timeout(90):
        while (await status(service)).snapshot == worn.snapshot or collection in await store.collections():
            await asyncio.sleep(0.1)
    now = await status(service)
    assert (now.documents, now.build_due) == (7, "")
    assert now.unoptimised < 30
    assert now.retained == (kept.snapshot,), "what an operator left there"
    assert "Document d5." in await texts(service, "document d5")
    assert (await service.rollback("handbook")).snapshot == kept.snapshot
    await service.close()


async def test_terms_of_an_earlier_version_are_made_anew_by_themselves(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr("trivet.retrieval.settings._TERMS", 1)
        before = await make_service()
        await before.upsert("handbook", markdown("a", "The bracket is 1023-55-A."))
        await before.close()
    service = await make_service()
    old = await status(service)
    assert "earlier version" in old.build_due
    assert await texts(service, "1023-55-A") == ["The bracket is 1023-55-A."], "it serves meanwhile"
    await service.close()
    monkeypatch.setattr(maintenance, "_RENEW_NOT_BEFORE", 0.0)
    service = await make_service()
    async with asyncio.timeout(90):
        while (now := await status(service)).snapshot == old.snapshot:
            await asyncio.sleep(0.1)
    assert (now.build_due, now.documents) == ("", 1)
    assert await texts(service, "1023-55-A") == ["The bracket is 1023-55-A."]
