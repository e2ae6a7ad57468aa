"""A web site: the pages that its sitemap names, as far as an allow-list and its robots.txt let them be fetched."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import unquote, urljoin, urlsplit
from urllib.robotparser import RobotFileParser

import httpx
from lxml import etree

from trivet.retrieval.documents.documents import FORMATS
from trivet.retrieval.sources.addresses import address_of
from trivet.retrieval.sources.remote import Fetched, RemoteFile, SourceError, mirror_name

AGENT = "trivet"
_MOST_REDIRECTS = 5
_MOST_SITEMAPS = 500
_SITEMAP_BYTES = 50 << 20  # as sitemaps.org has it
_ROBOTS_BYTES = 512 << 10
_MOST_DELAY = 10.0  # seconds between two pages, whatever a robots.txt asks for
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_ENDINGS = {"text/html": ".html", "application/xhtml+xml": ".html", "text/plain": ".txt", "text/markdown": ".md",
            "application/pdf": ".pdf"}  # fmt: skip
_NAMESPACE = "{http://www.sitemaps.org/schemas/sitemap/0.9}"


class Website:
    """Implements Remote."""

    def __init__(self, sitemap: str, allow: Sequence[str], *, max_files: int, max_bytes: int, private: bool) -> None:
        """`sitemap`: its URL. `allow`: URLs that all others begin with; empty for the sitemap's own host.
        `max_bytes`: of one page. `private`: addresses that are not of the public internet are allowed."""
        self._sitemap = sitemap
        own = urlsplit(sitemap)
        self._allow = [urlsplit(one) for one in allow or [f"{own.scheme}://{own.netloc}/"]]
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._private = private
        self._client = httpx.Client(
            timeout=_TIMEOUT, trust_env=False, headers={"User-Agent": AGENT, "Accept-Encoding": "identity"}
        )
        self._robots: dict[str, RobotFileParser] = {}
        self._next = 0.0

    def files(self) -> Iterator[RemoteFile]:
        """The pages of the sitemap, and of those that it names."""
        waiting, seen, pages = [self._sitemap], {self._sitemap}, 0
        while waiting:
            root = self._parsed(waiting.pop())
            index = root.tag == f"{_NAMESPACE}sitemapindex"
            for entry in root:
                url = (entry.findtext(f"{_NAMESPACE}loc") or "").strip()
                if not url or url in seen:
                    continue
                seen.add(url)
                if index:
                    waiting.append(url)
                    if len(seen) > _MOST_SITEMAPS:
                        raise SourceError(f"{self._sitemap}: more than {_MOST_SITEMAPS} sitemaps")
                    continue
                pages += 1
                if pages > self._max_files:
                    raise SourceError(f"{self._sitemap}: more than {self._max_files:,} pages, which is `max_files`")
                yield RemoteFile(_name(url), url)

    def fetch(self, file: RemoteFile, to: Path, known: str) -> Fetched | None:
        """A page, asked for with the ETag or the time that it had; robots.txt may forbid it."""
        self._require_allowed(file.where)
        robots = self._robots_of(file.where)
        if not robots.can_fetch(AGENT, file.where):
            raise SourceError(f"{file.where}: the site's robots.txt forbids it")
        self._wait(robots)
        kind, _, value = known.partition(" ")
        condition = {"etag": "If-None-Match", "modified": "If-Modified-Since"}.get(kind)
        with to.open("wb") as out:
            response = self._get(file.where, out, self._max_bytes, {condition: value} if condition else {})
        if response.status_code == httpx.codes.NOT_MODIFIED and condition:
            return None
        if response.status_code != httpx.codes.OK:
            raise SourceError(f"{file.where}: the server answered {response.status_code}")
        return Fetched(_with_ending(file.name, response), _version(response))

    def _parsed(self, url: str) -> etree._Element:
        self._require_allowed(url)
        content = _Bytes()
        response = self._get(url, content, _SITEMAP_BYTES)
        if response.status_code != httpx.codes.OK:
            raise SourceError(f"{url}: the server answered {response.status_code}, expected a sitemap")
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        try:
            root = etree.fromstring(b"".join(content.parts), parser)
        except etree.XMLSyntaxError as error:
            raise SourceError(f"{url}: not a sitemap ({error})"[:300]) from None
        if root.tag not in (f"{_NAMESPACE}urlset", f"{_NAMESPACE}sitemapindex"):
            raise SourceError(f"{url}: not a sitemap, expected <urlset> or <sitemapindex> of sitemaps.org")
        return root

    def _get(
        self, url: str, out: IO[bytes] | _Bytes, most: int, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Follow redirects, each of them allowed and to an address that is; write what comes, at most so many bytes."""
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._once(url, out, most, headers or {})
            location = response.headers.get("location")
            if not (response.is_redirect and location):
                return response
            url = urljoin(url, location)
            self._require_allowed(url)
        raise SourceError(f"{url}: more than {_MOST_REDIRECTS} redirects")

    def _once(self, url: str, out: IO[bytes] | _Bytes, most: int, headers: dict[str, str]) -> httpx.Response:
        parsed = httpx.URL(url)
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        pinned = parsed.copy_with(host=address_of(parsed.host, port, private=self._private))
        request = self._client.build_request(
            "GET",
            pinned,
            headers={**headers, "Host": parsed.netloc.decode()},
            extensions={"sni_hostname": parsed.host},  # the certificate is the name's, not the address'
        )
        try:
            response = self._client.send(request, stream=True)
            try:
                if response.is_success:
                    self._write(response, out, most, url)
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise SourceError(f"{url}: {type(error).__name__}: {error}"[:300]) from None
        return response

    def _write(self, response: httpx.Response, out: IO[bytes] | _Bytes, most: int, url: str) -> None:
        written = 0
        for part in response.iter_bytes():
            written += len(part)
            if written > most:
                raise SourceError(f"{url}: more than {most:,} bytes")
            out.write(part)

    def _require_allowed(self, url: str) -> None:
        """Raise SourceError for what is not below one of the allowed URLs."""
        parts = urlsplit(url)
        path = unquote(parts.path) or "/"
        if "@" in parts.netloc or any(part in (".", "..") for part in path.replace("\\", "/").split("/")):
            raise SourceError(f"{url[:300]}: a user name or '..' in it, expected a plain URL")
        for allowed in self._allow:
            same_host = (parts.scheme, parts.netloc.lower()) == (allowed.scheme, allowed.netloc.lower())
            if same_host and path.startswith(allowed.path or "/"):
                return
        raise SourceError(f"{url[:300]}: `allow` of the index's `source` does not allow it")

    def _robots_of(self, url: str) -> RobotFileParser:
        """What a host's robots.txt allows: anything if there is none, nothing while it cannot be read (RFC 9309)."""
        parts = urlsplit(url)
        host = f"{parts.scheme}://{parts.netloc}"
        if (known := self._robots.get(host)) is not None:
            return known
        robots, content = RobotFileParser(), _Bytes()
        response = self._once(f"{host}/robots.txt", content, _ROBOTS_BYTES, {})
        text = b"".join(content.parts).decode("utf-8", "replace") if response.is_success else ""
        robots.parse(["User-agent: *", "Disallow: /"] if response.is_server_error else text.split("\n"))
        self._robots[host] = robots
        return robots

    def _wait(self, robots: RobotFileParser) -> None:
        delay = min(float(robots.crawl_delay(AGENT) or 0.0), _MOST_DELAY)
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._next = time.monotonic() + delay


class _Bytes:
    """Content that is kept in memory."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, part: bytes) -> None:
        """Keep it."""
        self.parts.append(part)


def _name(url: str) -> str:
    """The page's path in the mirror, without the ending that only its content type tells."""
    parts = urlsplit(url)
    path = parts.path if parts.path.strip("/") else "/index"
    query = f"~{sha256(parts.query.encode()).hexdigest()[:8]}" if parts.query else ""
    return mirror_name(f"{parts.netloc.replace(':', '_')}/{path.rstrip('/')}{query}")


def _with_ending(name: str, response: httpx.Response) -> str:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    ending = PurePosixPath(name).suffix.lower()
    if ending in FORMATS and FORMATS[ending] is FORMATS.get(_ENDINGS.get(kind, ending)):
        return name
    return name + _ENDINGS.get(kind, "")


def _version(response: httpx.Response) -> str:
    if etag := response.headers.get("etag"):
        return f"etag {etag}"
    modified = response.headers.get("last-modified")
    return f"modified {modified}" if modified else ""
