"""Connections to one endpoint: bounded in number, in time and in what is read."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from trivet.backends.openai.failures import RETRY_AFTER, Refused, failure_of_status, retry_after
from trivet.backends.openai.settings import EndpointSettings
from trivet.errors import BackendUnavailable, Overloaded

MAX_BODY = 4 << 20  # bytes of an answer that is no stream: a list of models may be long
MAX_ERROR = 64 << 10
# Idle connections are closed a little earlier than vLLM does it (5 s): a request on one that ends is lost.
KEEP_IDLE = 4.0
LONGEST_WAIT = 5.0  # that a 503 may ask for before the one retry
_HEADERS = {"accept-encoding": "identity"}  # nothing is unpacked here, and so nothing grows


class Connections:
    """Made anew at each start of the backend. Credentials are in here, and in no log."""

    def __init__(self, settings: EndpointSettings, key: str | None) -> None:
        """OSError if the certificates cannot be read."""
        verify: Any = True
        if settings.ca_file is not None:
            verify = ssl.create_default_context(cafile=str(settings.ca_file))
        self._settings = settings
        self._client = httpx.AsyncClient(
            verify=verify,
            timeout=httpx.Timeout(
                max(settings.first_token_timeout, settings.idle_timeout),
                connect=settings.connect_timeout,
                pool=settings.connect_timeout,
            ),
            limits=httpx.Limits(
                max_connections=settings.max_connections,
                max_keepalive_connections=settings.max_connections,
                keepalive_expiry=KEEP_IDLE,
            ),
            headers={**_HEADERS, **({} if key is None else {"authorization": f"Bearer {key}"})},
            follow_redirects=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """What is open ends."""
        await self._client.aclose()

    async def ask(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> tuple[int, bytes]:
        """A short answer, within `connect_timeout` as a whole. Raises BackendUnavailable."""
        try:
            async with (
                asyncio.timeout(self._settings.connect_timeout),
                self._client.stream(method, url, json=body) as answer,
            ):
                return answer.status_code, await _whole(answer, MAX_BODY)
        except TimeoutError as error:
            raise self._unavailable("did not answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self._unavailable(f"cannot be asked ({type(error).__name__})") from error

    @asynccontextmanager
    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[httpx.Response, None]:
        """An answer that has begun, with status 200; leaving it closes the connection unless all was read.

        Tried once more where nothing was sent, or the endpoint is busy for a moment (503). Raises what
        `failure_of_status` gives, BackendUnavailable and Overloaded.
        """
        answer = await self._send(path, body, again=True)
        try:
            kind = answer.headers.get("content-type", "")
            if not kind.startswith("text/event-stream") or "content-encoding" in answer.headers:
                raise self._unavailable("does not stream its answers as it was asked to")
            yield answer
        finally:
            await answer.aclose()

    async def _send(self, path: str, body: Mapping[str, Any], again: bool) -> httpx.Response:
        settings = self._settings
        request = self._client.build_request("POST", settings.url + path, json=body)
        try:
            async with asyncio.timeout(settings.connect_timeout + settings.first_token_timeout):
                answer = await self._client.send(request, stream=True)
        except httpx.PoolTimeout as error:
            subject = f"requests to the endpoint of backend {settings.name}"
            raise Overloaded(subject, settings.max_connections, RETRY_AFTER) from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if again:
                return await self._send(path, body, again=False)
            raise self._unavailable("cannot be reached") from error
        except (httpx.TimeoutException, TimeoutError) as error:
            raise self._unavailable("did not answer in time") from error
        except httpx.HTTPError as error:
            raise self._unavailable(f"broke the connection off ({type(error).__name__})") from error
        if answer.status_code == 200:
            return answer
        wait = retry_after(answer.headers.get("retry-after")) or 0.0
        failure = failure_of_status(answer.status_code, await self._told(answer), answer.headers, settings.name)
        if answer.status_code == 503 and again and wait <= LONGEST_WAIT:
            await asyncio.sleep(wait)
            return await self._send(path, body, again=False)
        raise failure

    async def _told(self, answer: httpx.Response) -> bytes:
        """What it says of a failure; nothing if that does not come either."""
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                return await _whole(answer, MAX_ERROR)
        except (TimeoutError, httpx.HTTPError, Refused):
            return b""
        finally:
            await answer.aclose()

    def _unavailable(self, what: str) -> BackendUnavailable:
        return BackendUnavailable(f"the endpoint of backend {self._settings.name} {what}", RETRY_AFTER)


async def _whole(answer: httpx.Response, most: int) -> bytes:
    """The body; raises Refused for one that is larger."""
    body = bytearray()
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > most:
            raise Refused(f"an endpoint's answer has more than {most:,} bytes", RETRY_AFTER)
    return bytes(body)
