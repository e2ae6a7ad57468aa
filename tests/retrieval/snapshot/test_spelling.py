"""Words that no passage has are searched for as their nearest ones; words that are there never are."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import pytest

from trivet.errors import RetrievalUnavailable
from trivet.retrieval.service import IndexService
from trivet.retrieval.snapshot.spelling import Spelling, vocabulary
from trivet.retrieval.snapshot.spelling import corrected as in_place
from trivet.retrieval.snapshot.spelling.vocabulary import WordCounts, WordTable
from trivet.retrieval.snapshot.terms import TermVectors
from trivet.stores.qdrant.store import QdrantStore
from trivet.types.passage import Correction, Document, DocumentFormat, SearchQuery

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]
WORDS = ("Veltor", "veltro")
TEXTS = {
    "lamp": "The Veltro lamp is warranted for thirty months.",
    "hub": "The Zephyr gateway is warranted for twelve months; its error code is E4711-B.",
    "plug": "Plugs are sold in packs.",
}


def _distance(one: str, other: str) -> int:
    """Optimal string alignment, letter by letter."""
    table = [[max(i, j) if not min(i, j) else 0 for j in range(len(other) + 1)] for i in range(len(one) + 1)]
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            replaced = table[i - 1][j - 1] + (one[i - 1] != other[j - 1])
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, replaced)
            if i > 1 and j > 1 and one[i - 1] == other[j - 2] and one[i - 2] == other[j - 1]:
                table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1)
    return table[-1][-1]


async def test_the_nearest_words_are_those_of_the_definition() -> None:
    drawn = random.Random(7)
    words = {"".join(drawn.choices("abcé", k=drawn.randint(4, 11))): drawn.randint(1, 9) for _ in range(150)}
    table = WordTable(words)
    some = 0
    for _ in range(80):
        asked = "".join(drawn.choices("abcéz", k=drawn.randint(4, 11)))
        most = 2 if len(asked) >= 8 else 1
        distances = {word: _distance(asked, word) for word in words}
        smallest = min(distances.values())
        expected = [word for word, distance in distances.items() if distance == smallest <= most]
        expected.sort(key=lambda word: (-words[word], word))
        assert [word for _, _, word in table.nearest(asked)] == expected, asked
        some += bool(expected)
    assert some > 5


async def test_the_vocabulary_is_bounded_and_each_tenants_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("MOST_SHARED", 2), ("MOST_OF_TENANT", 1), ("MOST_WORDS", 3), ("_MOST_COMPARED", 1)):
        monkeypatch.setattr(vocabulary, name, most)
    counts = WordCounts()
    counts.add("", ["lamp", "lamb", "desk", "abc", "x" * 25])
    counts.add("", ["lamb"])
    counts.add("acme", ["lame"])
    counts.add("other", ["lime"])
    assert counts.full
    found = counts.vocabulary()
    assert [found.knows(word, "acme") for word in ("lame", "abc", "x" * 25)] == [True, False, False]
    assert not found.knows("lame", "")
    assert not found.knows("lame", "other")
    shared = found.nearest("lamx", "", 9)
    assert shared in {("lamb",), ("lamp",)}, "one is compared, and the most frequent of those that there was room for"
    assert "lame" in found.nearest("lamx", "acme", 9)
    assert "lame" not in found.nearest("lamx", "other", 9)


async def test_what_no_passage_has_is_searched_for_as_its_nearest_words(
    make_service: Callable[..., Awaitable[IndexService]],
) -> None:
    plain, service = await make_service(), await make_service(correct_spelling=True)
    for id_, text in TEXTS.items():
        await service.upsert("handbook", Document(id_, text.encode(), DocumentFormat.TEXT))
    await service.upsert("handbook", Document("own", b"Marzipan.", DocumentFormat.TEXT, tenant="acme"))

    spelling = service.indexes["handbook"].live.spelling
    assert spelling is not None
    await spelling.read()  # the server itself does so every minute

    async def corrected(text: str, tenant: str = "") -> tuple[Correction, ...]:
        return (await service.explain(SearchQuery("handbook", text, tenant, 3))).corrections

    assert await corrected("How long is the Veltor warranted?") == (Correction("veltor", ("veltro",)),)
    assert await corrected("“gatevay”") == (Correction("gatevay", ("gateway",)),)
    assert await corrected("warrantd gatway (zefyr)") == (
        Correction("warrantd", ("warranted",)),
        Correction("gatway", ("gateway",)),
    ), "zefyr is two letters away, and too short for that"
    for known in (
        "warranting a month",
        "pack of plug",
        "about the lamp",
        "E4711-C veltro2 vel.tor lamp_x",
        "xyzzyxyzzy",
    ):
        assert await corrected(known) == (), known
    assert await corrected("marzipam") == ()
    assert await corrected("marzipam", "other") == ()
    assert await corrected("marzipam", "acme") == (Correction("marzipam", ("marzipan",)),)
    assert len(await corrected("veltor gatevay monhts packss solt lamx")) == 4

    assert (
        in_place("Is the “Veltor” my veltor2?", [Correction("veltor", ("veltro", "x"))], TermVectors("english", 180))
        == "Is the “veltro” my veltor2?"
    )
    similar = [
        {one.passage.id: one.passage.similarity for one in (await service.explain(query)).passages}
        for query in (SearchQuery("handbook", f"The {word} is warranted for how long?", "", 3) for word in WORDS)
    ]
    assert similar[0] == pytest.approx(similar[1]), "by meaning it is searched with the nearest word in its place"

    told = await service.explain(SearchQuery("handbook", "Veltor", "", 3))
    of = {one.passage.document_id: one for one in told.passages}
    assert of["lamp"].terms_rank == 1
    assert of["hub"].terms_rank == 0
    assert (await plain.explain(SearchQuery("handbook", "Veltor", "", 3))).corrections == ()
    first = (await service.search(SearchQuery("handbook", "Veltor", "", 1))).passages[0]
    assert first.document_id == "lamp"
    assert first.score == pytest.approx(of["lamp"].passage.score)

    # A word that came since the words were read is known at once, because the engine has it.
    await service.upsert("handbook", Document("new", b"The Veltor is another one.", DocumentFormat.TEXT))
    assert await corrected("Veltor") == ()
    first = (await service.search(SearchQuery("handbook", "Veltor", "", 1))).passages[0]
    assert first.document_id == "new"


async def test_words_are_read_again_while_documents_change(
    make_service: Callable[..., Awaitable[IndexService]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    from trivet.retrieval.snapshot.spelling import spelling

    monkeypatch.setattr(spelling, "_NOT_BEFORE", 0.0)
    monkeypatch.setattr(spelling, "_SHARE", 0)
    service = await make_service(correct_spelling=True)
    query = SearchQuery("handbook", "gatevay", "", 1)
    async with asyncio.timeout(60):
        for text in (b"A bridge.", b"A gateway."):
            await service.upsert("handbook", Document("a", text, DocumentFormat.TEXT))
        while (await service.explain(query)).corrections != (Correction("gatevay", ("gateway",)),):
            await asyncio.sleep(0.1)
        learnt = service.indexes["handbook"].live.spelling
        assert learnt is not None
        while learnt.due(service.indexes["handbook"].live.progress.position):  # it was read before the log's last line
            await asyncio.sleep(0.1)
    assert learnt.due(None), "where others write, it is not known whether something changed"


async def test_an_umlauts_other_spelling_is_corrected_where_it_stands() -> None:
    german = TermVectors("german", 180)
    asked = "Wo ist die Bruekce?"
    wrong = next(word for word in german.spelt(asked).rstrip("?").split() if word.startswith("br"))
    assert in_place(asked, [Correction(wrong, ("brücke",))], german) == "Wo ist die brücke?"


class Texts:
    """The part of the store that words are read from."""

    def __init__(self) -> None:
        self.read = 0
        self.away = False

    async def texts(self, collection: str) -> AsyncIterator[tuple[str, str]]:
        self.read += 1
        yield "", "some words"
        await asyncio.sleep(0)
        if self.away:
            raise RetrievalUnavailable("it is away")


async def test_words_are_read_once_for_all_that_wait_and_not_again_at_once_where_that_failed() -> None:
    store = Texts()
    spelling = Spelling(cast(QdrantStore, store), "c", TermVectors("english", 180))
    store.away = True
    with pytest.raises(RetrievalUnavailable):
        await spelling.read(5)
    assert not spelling.due(6)
    store.away = False
    await asyncio.gather(*(spelling.ensure_read() for _ in range(5)))
    assert store.read == 2
