"""An index whose documents lie elsewhere: a build fetches them first, by itself where it is told to."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.retrieval.conftest import MakeService
from tests.support.retrieval.documents import built, reported, texts
from tests.support.sources.site import Site, site
from trivet.errors import RetrievalUnavailable
from trivet.retrieval.settings import CorpusSource

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]


@pytest.fixture
def served() -> Iterator[Site]:
    with site() as running:
        running.page("/lamp.html", "<p>The lamp weighs 12 grams.</p>")
        running.page("/hub.html", "<p>The hub weighs 40 grams.</p>")
        running.sitemap("/lamp.html", "/hub.html")
        yield running


def source(served: Site, every: float = 0.0) -> CorpusSource:
    return CorpusSource(f"{served.url}/sitemap.xml", every=every, allow_private=True)


async def test_a_build_fetches_what_changed(make_service: MakeService, served: Site, tmp_path: Path) -> None:
    service = await make_service(source=source(served), corpus=tmp_path / "mirror")
    assert "fetch" in {event.stage for event in await built(service)}
    assert (await texts(service, "weight of the lamp"))[0] == "The lamp weighs 12 grams."
    served.page("/lamp.html", "<p>The lamp weighs 13 grams.</p>")
    del served.pages["/hub.html"]
    report = await reported(service)
    assert report.skipped == 1
    assert report.first_skipped[0].kept
    assert "answered 404" in report.first_skipped[0].reason
    found = await texts(service, "weight of the lamp and the hub")
    assert set(found) == {"The lamp weighs 13 grams.", "The hub weighs 40 grams."}
    del served.pages["/sitemap.xml"]
    with pytest.raises(RetrievalUnavailable, match="answered 404"):
        await built(service)
    assert set(await texts(service, "weight of the lamp and the hub")) == set(found)


@pytest.mark.parametrize("named", [0, 100])
async def test_a_lost_mirror_loses_no_document(
    make_service: MakeService, served: Site, tmp_path: Path, named: int
) -> None:
    """Of many such pages the report does not name all: then nothing is dropped."""
    service = await make_service(source=source(served), corpus=tmp_path / "mirror")
    served.page("/old.html", "<p>The old rim weighs 50 grams.</p>")
    served.sitemap("/lamp.html", "/hub.html", "/old.html")
    await built(service)
    shutil.rmtree(tmp_path / "mirror")
    del served.pages["/hub.html"]
    served.sitemap("/lamp.html", "/hub.html", *(f"/{number}.html" for number in range(named)))
    assert (await reported(service)).skipped == min(1 + named, 100)
    found = await texts(service, "weight of the lamp, the hub and the rim")
    assert "The hub weighs 40 grams." in found
    assert ("The old rim weighs 50 grams." in found) is (named == 100)


async def test_a_schedule_builds_by_itself(make_service: MakeService, served: Site, tmp_path: Path) -> None:
    service = await make_service(source=source(served, every=0.2), corpus=tmp_path / "mirror")
    async with asyncio.timeout(60):
        while "The lamp weighs 12 grams." not in await texts(service, "weight of the lamp"):
            await asyncio.sleep(0.1)
