"""What stands around a passage comes along with it: of the very revision that was found, and no more than is asked."""

from __future__ import annotations

import pytest

from tests.support.retrieval.documents import markdown
from trivet.retrieval.service import IndexService
from trivet.types.passage import Expansion, SearchQuery, SearchResult

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]

SECTIONS = "# Bridges\n\nFoo.\n\n# Lamps\n\n{lamps}\n\n# Boats\n\nBar."
LAMPS = "\n\n".join(f"Fact {n} of lamps is {'that ' * 150}so." for n in range(6))


async def found(service: IndexService, expansion: Expansion, tenant: str = "acme") -> SearchResult:
    return await service.search(
        SearchQuery("handbook", "fact 3 of lamps is that", tenant, 1, tags=("around",), expansion=expansion)
    )


def numbers(result: SearchResult) -> list[int]:
    (hit,) = result.passages
    near = result.around.get(hit.id, ())
    assert all(one.near == hit.id and one.score == hit.score and one.document_id == hit.document_id for one in near)
    return [int(one.id.rpartition("#")[2]) - int(hit.id.rpartition("#")[2]) for one in near]


async def test_neighbours_section_and_document(service: IndexService) -> None:
    text = SECTIONS.format(lamps=LAMPS)
    last = (await service.upsert("handbook", markdown("around", text, tags=("around",)))).passages - 1
    (hit,) = (await found(service, Expansion.NONE)).passages
    at = int(hit.id.rpartition("#")[2])
    assert 1 < at < last - 1  # the first and the last one stand below other headings
    assert numbers(await found(service, Expansion.NONE)) == []
    assert numbers(await found(service, Expansion.NEIGHBOURS)) == [1, -1]
    assert sorted(numbers(await found(service, Expansion.SECTION))) == [n for n in range(1 - at, last - at) if n]
    assert sorted(numbers(await found(service, Expansion.DOCUMENT))) == [n for n in range(-at, last + 1 - at) if n]


async def test_of_a_document_that_was_replaced_there_is_the_new_one(service: IndexService) -> None:
    await service.upsert("handbook", markdown("around", SECTIONS.format(lamps=LAMPS), tags=("around",)))
    short = SECTIONS.format(lamps=LAMPS.replace("so.", "not so."))
    done = await service.upsert("handbook", markdown("around", short, tags=("around",)))
    result = await found(service, Expansion.DOCUMENT)
    near = result.around[result.passages[0].id]
    assert {one.revision for one in near} == {done.revision}
    assert len(near) == done.passages - 1


async def test_another_tenants_document_of_the_same_id_stays_apart(service: IndexService) -> None:
    for tenant in ("acme", "bolt"):
        text = SECTIONS.format(lamps=LAMPS.replace("Fact", f"Fact for {tenant}:"))
        await service.upsert("handbook", markdown("own", text, tags=("around",), tenant=tenant))
    result = await found(service, Expansion.DOCUMENT, "bolt")
    assert result.passages[0].id.startswith("bolt!")
    assert all(one.id.startswith("bolt!") for one in result.around[result.passages[0].id])
