"""What QdrantStore promises, over every engine: the vector process, the client's local mode, a server or cluster.

    QDRANT_URL=https://host QDRANT_API_KEY=... pytest tests/stores/test_qdrant_contract.py

asks a server as well (QDRANT_GRPC_PORT, if it is not 6334). Each case makes collections of its own and drops them.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest

from tests.support.retrieval.qdrant_engines import DIMENSION, K, passages, put, revision, search, server_endpoint, who
from trivet.errors import CollectionMissing, RetrievalUnavailable
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.records import DocumentHead, DocumentKey, ExcludedPassages, PassageId, PointKind

pytestmark = [
    pytest.mark.process,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect", "ignore:Local mode performs exact"),
]


async def test_a_collection_is_created_once(store: QdrantStore, collection: str) -> None:
    await put(store, collection, passages(revision(1)))
    assert await store.ensure(collection, DIMENSION) is False
    assert len(await search(store, collection)) == 1, "what is in it stays"
    assert collection in await store.collections()
    await store.drop(collection)
    assert collection not in await store.collections()
    await store.drop(collection)
    assert await store.ensure(collection, DIMENSION) is True
    assert await search(store, collection) == []


async def test_an_unknown_collection_is_not_found(store: QdrantStore) -> None:
    with pytest.raises(CollectionMissing):
        await search(store, "contract-none")
    with pytest.raises(CollectionMissing):
        await store.count("contract-none", PointKind.HEAD)
    with pytest.raises(CollectionMissing):
        await store.stage("contract-none", passages(revision(1)))


async def test_staged_passages_are_found_once_published(store: QdrantStore, collection: str) -> None:
    of = revision(1)
    await store.stage(collection, passages(of, (0.0, 1.0)))
    assert await search(store, collection) == []
    assert await store.count_passages(collection, of.key) == 2
    assert await store.heads_of(collection, [of.key]) == {}

    head = DocumentHead(of, deleted=False, passages=2)
    await store.publish(collection, head)
    found = await search(store, collection)
    assert [(one.of, one.n) for one in found] == [(of, 0), (of, 1)]
    assert (found[0].title, found[0].text) == ("lamp 1", "passage 0 of lamp, revision 1")
    assert (found[1].start, found[1].end, found[1].n_tokens) == (10, 19, 7)
    assert await store.heads_of(collection, [of.key]) == {of.key: head}


async def test_a_new_revision_takes_the_old_ones_place(store: QdrantStore, collection: str) -> None:
    await put(store, collection, passages(revision(1), (0.0, 0.1, 0.2)))
    await store.stage(collection, passages(revision(2), (0.0,)))
    assert who(await search(store, collection)) == {("", "lamp", 1)}, "until it is published, the old one is found"
    head = DocumentHead(revision(2), deleted=False, passages=1)
    await store.publish(collection, head)
    assert who(await search(store, collection)) == {("", "lamp", 2)}
    assert await store.passage_counts(collection) == {revision(2): 1}
    assert await store.heads(collection) == {head.of.key: head}


async def test_a_late_write_does_not_replace_a_newer_head(store: QdrantStore, collection: str) -> None:
    newer = await put(store, collection, passages(revision(3)))
    await put(store, collection, passages(revision(2)))
    assert await store.heads_of(collection, [newer.of.key]) == {newer.of.key: newer}
    assert ("", "lamp", 3) in who(await search(store, collection)), "nor does it remove what the newer one says"
    await store.retire(collection, DocumentHead(revision(2), deleted=True, passages=0))
    assert await store.heads_of(collection, [newer.of.key]) == {newer.of.key: newer}
    assert who(await search(store, collection)) == {("", "lamp", 3)}


async def test_a_deletion_is_a_tombstone(store: QdrantStore, collection: str) -> None:
    await put(store, collection, passages(revision(1), (0.0, 1.0)))
    await put(store, collection, passages(revision(1, "hub")))
    tombstone = DocumentHead(revision(2), deleted=True, passages=0)
    await store.retire(collection, tombstone)
    assert who(await search(store, collection)) == {("", "hub", 1)}
    assert await store.count_passages(collection, tombstone.of.key) == 0
    assert await store.heads_of(collection, [tombstone.of.key]) == {tombstone.of.key: tombstone}
    assert (await store.count(collection, PointKind.HEAD), await store.count(collection, PointKind.GONE)) == (1, 1)

    await put(store, collection, passages(revision(3)))
    assert who(await search(store, collection)) == {("", "hub", 1), ("", "lamp", 3)}
    assert await store.count(collection, PointKind.GONE) == 0


async def test_a_tenant_sees_its_own_and_shared_documents(store: QdrantStore, collection: str) -> None:
    await put(store, collection, passages(revision(1)))
    await put(store, collection, passages(revision(4, tenant="acme")))
    await put(store, collection, passages(revision(9, tenant="globex")))
    assert who(await search(store, collection, tenant="acme")) == {("", "lamp", 1), ("acme", "lamp", 4)}
    assert who(await search(store, collection, tenant="globex")) == {("", "lamp", 1), ("globex", "lamp", 9)}
    assert who(await search(store, collection)) == {("", "lamp", 1)}
    assert who(await search(store, collection, words=[100], tenant="nobody")) == {("", "lamp", 1)}

    await store.retire(collection, DocumentHead(revision(5, tenant="acme"), deleted=True, passages=0))
    assert who(await search(store, collection, tenant="acme")) == {("", "lamp", 1)}
    assert who(await search(store, collection, tenant="globex")) == {("", "lamp", 1), ("globex", "lamp", 9)}


async def test_all_tags_must_be_there(store: QdrantStore, collection: str) -> None:
    await put(store, collection, passages(revision(1, "both"), tags=("new", "red")))
    await put(store, collection, passages(revision(1, "red"), tags=("red",)))
    await put(store, collection, passages(revision(1, "none")))
    for words in ((), (100,)):
        assert who(await search(store, collection, words=words, tags=("red",))) == {("", "both", 1), ("", "red", 1)}
        assert who(await search(store, collection, words=words, tags=("red", "new"))) == {("", "both", 1)}
        assert await search(store, collection, words=words, tags=("blue",)) == []


async def test_validity_has_a_beginning_and_an_end(store: QdrantStore, collection: str) -> None:
    await put(store, collection, passages(revision(1, "always")))
    await put(store, collection, passages(revision(1, "now"), valid_from=100.5, valid_until=200.5))
    for at, shown in ((100.0, False), (100.5, True), (200.0, True), (200.5, False), (1e9, False)):
        found = who(await search(store, collection, at=at, words=[100]))
        assert (("", "now", 1) in found) is shown, at
        assert ("", "always", 1) in found


async def test_excluded_revisions_are_not_found(store: QdrantStore, collection: str) -> None:
    await put(store, collection, passages(revision(1, "hub")))
    await store.restore(collection, passages(revision(1)))
    await store.restore(collection, passages(revision(2)))
    found = await search(store, collection, words=[100], without=[revision(1), revision(7, "none")])
    assert who(found) == {("", "hub", 1), ("", "lamp", 2)}


async def test_copies_that_are_not_wanted_are_not_found_but_for_those_that_are_kept(
    store: QdrantStore, collection: str
) -> None:
    for name in ("a", "b", "c"):
        await put(store, collection, passages(revision(1, name), text_digest="same"))
    await put(store, collection, passages(revision(1, "other"), text_digest="another"))
    await put(store, collection, passages(revision(1, "old")))  # of an earlier version
    unwanted = ExcludedPassages(("same", "none"), (PassageId(revision(1, "b"), 0),))
    found = await search(store, collection, words=[100], unwanted=unwanted)
    assert who(found) == {("", "b", 1), ("", "other", 1), ("", "old", 1)}
    assert sorted(one.text_digest for one in found) == ["", "another", "same"]


async def test_both_searches_are_fused_by_rank(store: QdrantStore, collection: str) -> None:
    """The scores are the same numbers everywhere: min_score in a configuration means one thing."""
    angles = {"near": 0.1, "middle": 0.5, "far": 1.2}
    words = {"near": [1], "middle": [1, 2], "far": [1, 2, 3]}
    for name, angle in angles.items():
        await put(store, collection, passages(revision(1, name), (angle,), [words[name]]))
    found = await search(store, collection, 0.0, [2, 3])
    by_name = {one.of.key.id: one.score for one in found}
    assert by_name == pytest.approx(
        {
            "near": 1 / (K + 0),  # first by meaning alone
            "middle": 1 / (K + 1) + 1 / (K + 1),
            "far": 1 / (K + 2) + 1 / (K + 0),  # first by words: it has the rarer one
        }
    )
    assert [one.score for one in found] == sorted(by_name.values(), reverse=True)
    assert [one.of.key.id for one in await search(store, collection, 0.0)] == ["near", "middle", "far"], "no words"
    assert len(await search(store, collection, 0.0, [2, 3], limit=2)) == 2


async def test_weights_move_the_ranks(store: QdrantStore, collection: str) -> None:
    await put(store, collection, passages(revision(1, "meant"), (0.0,), [[1]]))
    await put(store, collection, passages(revision(1, "named"), (1.2,), [[2]]))
    for weights in ((1.0, 0.5), (0.5, 1.0)):
        found = {one.of.key.id: one.score for one in await search(store, collection, 0.0, [2], weights=weights)}
        meaning, words = weights
        assert found == pytest.approx(
            {"meant": 1 / (1 / meaning + K - 1), "named": 1 / (2 / meaning + K - 1) + 1 / (1 / words + K - 1)}
        )
    alone = await search(store, collection, 0.0, weights=(0.5, 1.0))
    assert [one.of.key.id for one in alone] == ["meant", "named"], "without words there is one search to weigh"


async def test_a_rare_word_counts_more(store: QdrantStore, collection: str) -> None:
    for n in range(6):
        await put(store, collection, passages(revision(1, f"common{n}"), (1.0,), [[1]]))
    await put(store, collection, passages(revision(1, "rare"), (1.5,), [[2]]))
    found = await search(store, collection, 0.0, [1, 2], candidates=1)
    assert "rare" in {one.of.key.id for one in found}


async def test_similarity_is_the_cosine(store: QdrantStore, collection: str) -> None:
    await put(store, collection, passages(revision(1), (0.0, 0.5, 1.2)))
    found = {one.n: one.similarity for one in await search(store, collection, 0.2, [102])}
    assert found == pytest.approx({0: math.cos(0.2), 1: math.cos(0.3), 2: math.cos(1.0)}, abs=1e-5)


async def test_a_passage_counts_if_its_head_names_it(store: QdrantStore, collection: str) -> None:
    """Each kind of what a crash, or a search in the middle of a write, can find."""
    await put(store, collection, passages(revision(2, "replaced")))
    await store.restore(collection, passages(revision(1, "replaced")))
    await put(store, collection, passages(revision(1, "deleted")))
    await store.retire(collection, DocumentHead(revision(2, "deleted"), deleted=True, passages=0))
    await store.restore(collection, [*passages(revision(1, "deleted")), *passages(revision(2, "deleted"))])
    await store.restore(collection, passages(revision(1, "headless")))
    await put(store, collection, passages(revision(1, "lost log")))
    other = revision(1, "lost log")._replace(digest="another content")
    await store.restore(collection, passages(other))
    await put(store, collection, passages(revision(1, "kept", "acme")))
    await store.restore(collection, passages(revision(1, "kept", "other")))
    found = await search(store, collection, tenant="acme")
    assert {one.of: one.counts for one in found} == {
        revision(2, "replaced"): True,
        revision(1, "replaced"): False,
        revision(1, "deleted"): False,
        revision(2, "deleted"): False,
        revision(1, "headless"): False,
        revision(1, "lost log"): True,
        other: False,
        revision(1, "kept", "acme"): True,
    }


async def test_what_a_crash_left_is_cleaned(store: QdrantStore, collection: str) -> None:
    await put(store, collection, passages(revision(2), (0.0, 1.0)))
    await store.stage(collection, passages(revision(3)))
    await store.restore(collection, passages(revision(1)))
    assert await store.passage_counts(collection) == {revision(1): 1, revision(2): 2, revision(3): 1}
    await store.clean(collection, revision(2).key, keep=revision(2))
    assert await store.passage_counts(collection) == {revision(2): 2}
    assert await store.count(collection, PointKind.HEAD) == 1
    await store.clean(collection, revision(2).key, keep=None)
    assert await store.passage_counts(collection) == {}


async def test_more_than_a_message_and_a_page_hold(store: QdrantStore, collection: str) -> None:
    large = revision(1, "large")
    await put(store, collection, passages(large, [n / 1000 for n in range(1100)], [[n % 50] for n in range(1100)]))
    assert await store.passage_counts(collection) == {large: 1100}
    assert await store.count(collection, PointKind.PASSAGE) == 1100
    heads = [DocumentHead(revision(1, f"head{n}"), deleted=False, passages=0) for n in range(40)]
    await asyncio.gather(*(store.publish(collection, head) for head in heads))
    assert set(await store.heads(collection)) == {large.key, *(head.of.key for head in heads)}
    keys = [head.of.key for head in heads]
    assert set(await store.heads_of(collection, [*keys, DocumentKey("", "none")])) == set(keys)
    assert (await search(store, collection, 0.25, limit=3))[0].n == 250


async def test_concurrent_writers_leave_the_newest(store: QdrantStore, collection: str) -> None:
    """Eight documents, each written by three writers at once, in no order; readers meanwhile."""

    async def write(document: str, number: int) -> None:
        await put(store, collection, passages(revision(number, document), (0.0, 0.5)))

    async def read() -> None:
        for _ in range(10):
            await search(store, collection, words=[100, 101])

    documents = [f"document{n}" for n in range(8)]
    await asyncio.gather(
        *(write(document, number) for number in (3, 1, 2) for document in documents), *(read() for _ in range(4))
    )
    heads = await store.heads(collection)
    assert {key.id: head.of.revision for key, head in heads.items()} == dict.fromkeys(documents, 3)
    counts = await store.passage_counts(collection)
    assert {key.id: counts[head.of] for key, head in heads.items()} == dict.fromkeys(documents, 2)


async def test_a_server_refuses_a_wrong_key() -> None:
    """A server alone has keys."""
    endpoint = server_endpoint()
    if endpoint.api_key is None:
        pytest.skip("QDRANT_API_KEY is not set: the server takes everybody")
    store = QdrantStore.remote(replace(endpoint, api_key="wrong"))
    with pytest.raises(RetrievalUnavailable, match="refuses our credential"):
        await store.collections()
    await store.close()
