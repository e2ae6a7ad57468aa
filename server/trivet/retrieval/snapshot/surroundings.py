"""What stands around the passages that a search has found, in their own documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from trivet.retrieval.snapshot.search import passage_of, search
from trivet.retrieval.snapshot.snapshot import Snapshot
from trivet.stores.records import DocumentHead, DocumentKey, FoundPassage, PassageId
from trivet.types.metadata.where import Where
from trivet.types.passage import Expansion, Passage, SearchQuery

_REACH = {Expansion.NEIGHBOURS: 1, Expansion.SECTION: 16, Expansion.DOCUMENT: 32}  # passages to either side
_MOST_LOOKED_AT = 512  # of all hits together: each is some kilobytes of the engine's answer


async def search_with_surroundings(
    snapshot: Snapshot, query: SearchQuery, where: Where | None = None
) -> tuple[list[Passage], dict[str, tuple[Passage, ...]]]:
    """What `trivet.retrieval.snapshot.search` finds, and by the ids of those what stands around them."""
    found = await search(snapshot, query, where)
    return found, await _surroundings(snapshot, query.expansion, found)


async def _surroundings(
    snapshot: Snapshot, expansion: Expansion, found: Sequence[Passage]
) -> dict[str, tuple[Passage, ...]]:
    """For the id of each passage found, what stands around it, nearest first; two calls of the engine.

    They are of the very revision that was found, so they are seen by whoever sees that; of a document that was replaced
    or deleted meanwhile there are none. Raises RetrievalUnavailable.
    """
    if expansion is Expansion.NONE or not found:
        return {}
    reach = max(1, min(_REACH[expansion], _MOST_LOOKED_AT // (2 * len(found))))
    own = {one.id: _own_place(one) for one in found}
    heads = await snapshot.store.heads_of(snapshot.collection, sorted({key for key, _ in own.values()}))
    current = {
        one.id: heads[own[one.id][0]]
        for one in found
        if own[one.id][0] in heads and heads[own[one.id][0]].of.revision == one.revision
    }
    wanted = {
        place: None for id_, head in current.items() for side in _sides(head, own[id_][1], reach) for place in side
    }
    there = await snapshot.store.passages_at(snapshot.collection, list(wanted)[:_MOST_LOOKED_AT])
    around: dict[str, tuple[Passage, ...]] = {}
    for one in found:
        if (head := current.get(one.id)) is not None:
            sides = [_reached(side, there, one, expansion) for side in _sides(head, own[one.id][1], reach)]
            around[one.id] = tuple(replace(passage_of(near), score=one.score, near=one.id) for near in _nearest(sides))
    return around


def _own_place(passage: Passage) -> tuple[DocumentKey, int]:
    """From its id: `tenant!document@revision#number`; no document's id has a `!` or a `#`."""
    owner, _, _ = passage.id.rpartition("!")
    return DocumentKey(owner, passage.document_id), int(passage.id.rpartition("#")[2])


def _sides(head: DocumentHead, n: int, reach: int) -> tuple[list[PassageId], list[PassageId]]:
    """The passages before and after number `n`, nearest first."""
    before = [PassageId(head.of, m) for m in range(n - 1, max(-1, n - 1 - reach), -1)]
    after = [PassageId(head.of, m) for m in range(n + 1, min(head.passages, n + 1 + reach))]
    return before, after


def _reached(
    side: Sequence[PassageId], there: Mapping[PassageId, FoundPassage], hit: Passage, expansion: Expansion
) -> list[FoundPassage]:
    """Up to the first one that is missing, or stands below other headings where a section is wanted."""
    reached = []
    for place in side:
        near = there.get(place)
        if near is None or (expansion is Expansion.SECTION and near.title != hit.title):
            break
        reached.append(near)
    return reached


def _nearest(sides: Sequence[Sequence[FoundPassage]]) -> Iterator[FoundPassage]:
    """By distance; what comes after goes first, because a text is read forwards."""
    before, after = sides
    for distance in range(max(len(before), len(after))):
        yield from after[distance : distance + 1]
        yield from before[distance : distance + 1]
