"""The endpoints of a Kubernetes Service, from its EndpointSlices (`discovery.k8s.io/v1`).

A list, then a watch from where the list was: https://kubernetes.io/docs/reference/using-api/api-concepts/. In the field
events get lost, above all deletions while a watch is renewed. So a watch is short, and each is followed by a list.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from trivet.fleet.backoff import Backoff
from trivet.fleet.discovery.discovery import Found

MAX_BYTES = 32 << 20  # of a list; a slice has at most 1,000 endpoints
MAX_EVENT = 4 << 20
TIMEOUT = 10.0  # seconds, for a list and for connecting
RETRY_FIRST, RETRY_MOST = 0.5, 15.0
SERVICE_LABEL = "kubernetes.io/service-name"
IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class KubernetesApi:
    """How the API server is reached. `token_file` is read for each request: it is renewed. `namespace` None: the
    pod's own."""

    url: str = "https://kubernetes.default.svc"
    token_file: Path | None = IN_POD / "token"
    ca_file: Path | None = IN_POD / "ca.crt"
    namespace: str | None = None

    def client(self) -> httpx.AsyncClient:
        """OSError if a file cannot be read."""
        verify: Any = True
        if self.ca_file is not None and self.url.startswith("https://"):
            import ssl

            verify = ssl.create_default_context(cafile=str(self.ca_file))
        return httpx.AsyncClient(base_url=self.url, verify=verify, timeout=TIMEOUT, trust_env=False)

    def headers(self) -> dict[str, str]:
        """OSError if the token cannot be read."""
        if self.token_file is None:
            return {}
        return {"authorization": f"Bearer {self.token_file.read_text(encoding='utf-8').strip()}"}

    def path(self) -> str:
        """Of the slices of the namespace. OSError if it cannot be told."""
        namespace = self.namespace or (IN_POD / "namespace").read_text(encoding="utf-8").strip()
        return f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"


class _Broken(Exception):
    """The watch is over: list again. `soon`: nothing is wrong."""

    def __init__(self, why: str, soon: bool = False) -> None:
        super().__init__(why)
        self.soon = soon


class EndpointSlices:
    """Endpoints that serve and are not terminating, with `port`. All is listed anew every `refresh` seconds, and after
    each watch that broke. While the API server is away, what it said last stands."""

    def __init__(self, api: KubernetesApi, service: str, port: int, refresh: float = 30.0) -> None:
        self._api = api
        self._service = service
        self._port = port
        self._refresh = refresh
        self._slices: dict[str, frozenset[str]] = {}

    async def watch(self) -> AsyncGenerator[Found, None]:
        """See `Discovery.watch`."""
        backoff = Backoff(RETRY_FIRST, RETRY_MOST)
        told: Found | None = None
        while True:
            problem, soon = "", False
            try:
                async with contextlib.aclosing(self._follow()) as followed:
                    async for _ in followed:
                        backoff.reset()
                        found = Found(self._known())
                        if found != told:
                            yield found
                        told = found
            except _Broken as broken:
                problem, soon = str(broken), broken.soon
            except (OSError, ValueError, httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
                problem = f"the Kubernetes API cannot be asked: {error or type(error).__name__}"
            if not soon:
                if told is None or told.problem != problem:
                    told = Found(None, problem)
                    yield told
                await asyncio.sleep(backoff.next_delay())

    def _known(self) -> frozenset[str]:
        return frozenset().union(*self._slices.values())

    async def _follow(self) -> AsyncGenerator[None, None]:
        """A list, then its watch, until `refresh` seconds have passed. Yields whenever something may have changed."""
        async with self._api.client() as client:
            version = await self._list(client)
            yield
            params = {
                "labelSelector": f"{SERVICE_LABEL}={self._service}",
                "watch": "true",
                "resourceVersion": version,
                "allowWatchBookmarks": "true",
                "timeoutSeconds": str(max(1, int(self._refresh))),
            }
            # The server ends it; one that does not is left a little later.
            timeout = httpx.Timeout(TIMEOUT, read=self._refresh + TIMEOUT)
            async with client.stream(
                "GET", self._api.path(), params=params, headers=self._api.headers(), timeout=timeout
            ) as answer:
                if answer.status_code != 200:
                    raise _Broken(f"the Kubernetes API answered a watch with {answer.status_code}")
                async with asyncio.timeout(self._refresh + TIMEOUT):
                    async for line in _lines(answer):
                        if self._take(line):
                            yield
        raise _Broken("the watch ended", soon=True)

    async def _list(self, client: httpx.AsyncClient) -> str:
        params = {"labelSelector": f"{SERVICE_LABEL}={self._service}"}
        async with client.stream("GET", self._api.path(), params=params, headers=self._api.headers()) as answer:
            body = bytearray()
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > MAX_BYTES:
                    raise _Broken(f"the list of endpoints is larger than {MAX_BYTES:,} bytes")
        if answer.status_code != 200:
            raise _Broken(f"the Kubernetes API answered with {answer.status_code} for the endpoints of {self._service}")
        listed = _mapping(json.loads(bytes(body)))
        slices = [_mapping(item) for item in listed.get("items") or ()]
        self._slices = {_name(item): self._addresses(item) for item in slices}
        return str(_mapping(listed.get("metadata")).get("resourceVersion", ""))

    def _take(self, line: bytes) -> bool:
        """One event; whether it may have changed anything. Raises _Broken for an error, a version that is gone first
        of all."""
        event = _mapping(json.loads(line))
        kind, item = event.get("type"), _mapping(event.get("object"))
        if kind == "ERROR":
            code = item.get("code")
            raise _Broken(f"the Kubernetes API ended a watch with {code}", soon=code == 410)
        if kind in ("ADDED", "MODIFIED"):
            self._slices[_name(item)] = self._addresses(item)
        elif kind == "DELETED":
            self._slices.pop(_name(item), None)
        else:
            return False
        return True

    def _addresses(self, item: Mapping[str, Any]) -> frozenset[str]:
        found = set()
        for endpoint in item.get("endpoints") or ():
            conditions = _mapping(_mapping(endpoint).get("conditions") or {})
            # Absent means unknown, and then it is to be taken for serving, says the API's reference.
            if conditions.get("serving") is False or conditions.get("terminating") is True:
                continue
            for address in _mapping(endpoint).get("addresses") or ():
                if isinstance(address, str):
                    found.add(f"[{address}]:{self._port}" if ":" in address else f"{address}:{self._port}")
        return frozenset(found)


async def _lines(answer: httpx.Response) -> AsyncGenerator[bytes, None]:
    """Lines of at most `MAX_EVENT` bytes."""
    held = bytearray()
    async for piece in answer.aiter_bytes():
        held += piece
        *whole, rest = bytes(held).split(b"\n")
        for line in whole:
            if line.strip():
                yield line
        held = bytearray(rest)
        if len(held) > MAX_EVENT:
            raise _Broken(f"an event is larger than {MAX_EVENT:,} bytes")


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("the Kubernetes API sent something else than an object")
    return value


def _name(item: Mapping[str, Any]) -> str:
    return str(_mapping(item.get("metadata")).get("name", ""))
