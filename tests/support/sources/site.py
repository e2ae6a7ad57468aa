"""A web site on this machine whose pages, redirects and robots.txt a test sets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"


@dataclass(slots=True)
class Site:
    """`pages`: content and type by path; `redirects`: location by path; `asked`: what was asked for, in order."""

    url: str = ""
    pages: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def sitemap(self, *paths: str) -> None:
        """Let `/sitemap.xml` name these: paths of the site, or whole URLs."""
        urls = (path if "://" in path else f"{self.url}{path}" for path in paths)
        entries = "".join(f"<url><loc>{url}</loc></url>" for url in urls)
        text = f'<urlset xmlns="{NAMESPACE}">{entries}</urlset>'
        self.pages["/sitemap.xml"] = text.encode(), "application/xml"

    def page(self, path: str, text: str, kind: str = "text/html; charset=utf-8") -> None:
        """Set a page."""
        self.pages[path] = text.encode(), kind


@contextmanager
def site() -> Iterator[Site]:
    """A running site on a free port."""
    served = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            if (location := served.redirects.get(self.path)) is not None:
                self.send_response(302)
                self.send_header("Location", location)
                self.end_headers()
                return
            content, kind = served.pages.get(self.path, (b"", ""))
            etag = f'"{hash(content)}"'
            known = self.headers.get("If-None-Match") == etag
            self.send_response(404 if not kind else 304 if known else 200)
            self.send_header("Content-Type", kind)
            self.send_header("ETag", etag)
            self.end_headers()
            if not known:
                self.wfile.write(content)

        def log_message(self, *_what: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
