"""A web site as a corpus: its sitemap, what may be fetched of it, and where it must never lead."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.sources.site import Site, site
from trivet.retrieval.sources.addresses import address_of, is_public
from trivet.retrieval.sources.mirror import Mirror, MirrorReport
from trivet.retrieval.sources.remote import SourceError
from trivet.retrieval.sources.website import Website


@pytest.fixture
def served() -> Iterator[Site]:
    with site() as running:
        yield running


def brought(
    served: Site, folder: Path, *, allow: tuple[str, ...] = (), private: bool = True, max_bytes: int = 10_000
) -> MirrorReport:
    remote = Website(f"{served.url}/sitemap.xml", allow, max_files=50, max_bytes=max_bytes, private=private)
    return Mirror(folder, max_bytes=50_000).bring(remote, served.url, lambda *_: None)


def files(folder: Path) -> dict[str, str]:
    """By the path below the host's folder."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix().partition("/")[2]: path.read_text() for path in found}


def test_pages_are_fetched_and_only_changes_again(served: Site, tmp_path: Path) -> None:
    served.page("/guide/", "<p>Guide</p>")
    served.page("/a.md", "# A", "text/markdown")
    served.page("/find?q=1", "<p>Found</p>")
    served.sitemap("/guide/", "/a.md", "/find?q=1")
    report = brought(served, tmp_path)
    assert (report.added, report.changed, report.removed, report.failures) == (3, 0, 0, 0)
    assert sorted(files(tmp_path).values()) == ["# A", "<p>Found</p>", "<p>Guide</p>"]
    assert {"guide.html", "a.md"} < files(tmp_path).keys()
    served.page("/a.md", "# B", "text/markdown")
    served.sitemap("/guide/", "/a.md")
    report = brought(served, tmp_path)
    assert (report.added, report.changed, report.removed, report.unchanged) == (0, 1, 1, 1)
    assert files(tmp_path) == {"guide.html": "<p>Guide</p>", "a.md": "# B"}


def test_what_a_killed_run_left_is_removed(served: Site, tmp_path: Path) -> None:
    """Its files were there before its state was noted: with no state, all that is there is such a file."""
    for name in ("kept", "gone", "away"):
        served.page(f"/sub/{name}", f"<p>{name}</p>")
    served.sitemap("/sub/kept", "/sub/gone", "/sub/away")
    brought(served, tmp_path)
    (tmp_path / ".mirror.json").unlink()
    del served.pages["/sub/away"]
    served.sitemap("/sub/kept", "/sub/away")
    report = brought(served, tmp_path)
    assert (report.unchanged, report.missing) == (1, 1)
    assert files(tmp_path) == {"sub/kept.html": "<p>kept</p>", "sub/away.html": "<p>away</p>"}, "away may come back"
    served.sitemap("/sub/kept")
    brought(served, tmp_path)
    assert files(tmp_path) == {"sub/kept.html": "<p>kept</p>"}


def test_a_sitemap_of_sitemaps_is_followed(served: Site, tmp_path: Path) -> None:
    served.page("/x.html", "<p>X</p>")
    served.sitemap("/x.html")
    served.pages["/inner.xml"] = served.pages["/sitemap.xml"]
    inner = f'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><sitemap><loc>{served.url}/inner.xml'
    served.pages["/sitemap.xml"] = f"{inner}</loc></sitemap></sitemapindex>".encode(), "application/xml"
    assert brought(served, tmp_path).added == 1


def test_what_is_not_allowed_is_never_asked_for(served: Site, tmp_path: Path) -> None:
    for path in ("/docs/a.html", "/secret.html", "/docs/private.html"):
        served.page(path, path)
    served.page("/robots.txt", "User-agent: *\nDisallow: /docs/private", "text/plain")
    served.redirects |= {"/docs/out.html": f"{served.url}/secret.html", "/docs/far.html": "http://example.org/"}
    urls = ["/docs/a.html", "/secret.html", "/docs/private.html", "/docs/out.html", "/docs/far.html"]
    served.sitemap(
        *urls, "/docs/../secret.html", "/docs/%2e%2e/secret.html", "file:///etc/passwd", "http://x@127.0.0.1/"
    )
    report = brought(served, tmp_path, allow=(f"{served.url}/docs/", f"{served.url}/sitemap.xml"))
    assert files(tmp_path) == {"docs/a.html": "/docs/a.html"}
    assert (report.added, report.failures) == (1, 8)
    why = dict(report.failed)
    assert "robots.txt" in why[f"{served.url}/docs/private.html"]
    assert "`allow`" in why[f"{served.url}/docs/out.html"]
    assert not {"/secret.html", "/docs/private.html", "/docs/../secret.html"} & set(served.asked)


def test_what_cannot_be_fetched_stays_as_it_was(served: Site, tmp_path: Path) -> None:
    served.page("/a.html", "first")
    served.sitemap("/a.html")
    brought(served, tmp_path)
    served.page("/a.html", "x" * 20_000)
    report = brought(served, tmp_path)
    assert (report.failures, files(tmp_path)) == (1, {"a.html": "first"})
    assert "more than 10,000 bytes" in report.failed[0][1]
    del served.pages["/a.html"]
    assert brought(served, tmp_path).failures == 1
    served.sitemap()
    with pytest.raises(SourceError, match="nothing is there any more"):
        brought(served, tmp_path)
    del served.pages["/sitemap.xml"]
    with pytest.raises(SourceError, match="answered 404"):
        brought(served, tmp_path)
    assert files(tmp_path) == {"a.html": "first"}


def test_all_files_together_are_bounded(served: Site, tmp_path: Path) -> None:
    for n in range(8):
        served.page(f"/{n}.html", f"{n}" * 9_000)
    served.sitemap(*(f"/{n}.html" for n in range(8)))
    report = brought(served, tmp_path)
    assert (report.added, report.failures) == (5, 3)
    assert "`max_bytes`" in report.failed[0][1]


def test_private_addresses_are_refused(served: Site, tmp_path: Path) -> None:
    served.sitemap()
    with pytest.raises(SourceError, match=r"127\.0\.0\.1, which is not of the public internet"):
        brought(served, tmp_path, private=False)
    assert served.asked == []


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.9.9", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::"],
)  # fmt: skip
def test_these_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)
    assert is_public("93.184.216.34")
    assert is_public("2606:2800:220:1:248:1893:25c8:1946")


def test_a_name_with_one_private_address_is_refused_and_the_others_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[str] = ["93.184.216.34", "10.0.0.1"]

    def told(*_what: Any, **_more: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in answers]

    monkeypatch.setattr(socket, "getaddrinfo", told)
    with pytest.raises(SourceError, match=r"10\.0\.0\.1"):
        address_of("docs.example.org", 443, private=False)
    answers.pop()
    assert address_of("docs.example.org", 443, private=False) == "93.184.216.34"
