"""The token ids of answers, which the backend gives as text alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from tests.support.engine.fixtures import collect
from trivet.backends.answers.coalescing import Coalescer
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.backends.vllm_settings import EmbeddedSettings
from trivet.current_request import CURRENT_REQUEST
from trivet.ports import Backend
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import BackendRequest, Chunk

Ids = tuple[int, ...]
_HEARD: ContextVar[list[int]] = ContextVar("heard")
_HEARD_OF: dict[str, list[int]] = {}  # by request, of those that come over the wire to a node in this process


class _Listening(Coalescer):
    """The backend's own, which also tells the ids."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._heard = _HEARD.get(_HEARD_OF.setdefault(CURRENT_REQUEST.get(), []))

    def add(self, ids: Sequence[int], *more: Any) -> None:
        self._heard.extend(ids)
        super().add(ids, *more)


def listen(patch: pytest.MonkeyPatch) -> None:
    """From now on `heard` hears."""
    patch.setattr("trivet.backends.vllm_backend.Coalescer", _Listening)


@asynccontextmanager
async def heard_engine(settings: EmbeddedSettings, adapters: Iterable[StagedAdapter]) -> AsyncIterator[EmbeddedVllm]:
    """An engine with these adapters, which `heard` hears."""
    engine = EmbeddedVllm(settings)
    with pytest.MonkeyPatch.context() as patch:
        listen(patch)
        await engine.start()
        try:
            for adapter in adapters:
                await engine.load_adapter(adapter)
            yield engine
        finally:
            await engine.close()


async def heard(backend: EmbeddedVllm, wanted: BackendRequest) -> tuple[Ids, list[Chunk]]:
    """An answer's ids and its chunks. To be run in a task of its own where several run at once."""
    ids: list[int] = []
    _HEARD.set(ids)
    chunks = await collect(backend, wanted)
    assert len(ids) == sum(chunk.tokens for chunk in chunks)
    return tuple(ids), chunks


async def heard_of(remote: Backend, wanted: BackendRequest) -> Ids:
    """The ids that a node in this process gave a request, whose id no other one has, and sent over the wire."""
    chunks = await collect(remote, wanted)
    ids = _HEARD_OF.pop(wanted.request_id)
    assert len(ids) == sum(chunk.tokens for chunk in chunks)
    return tuple(ids)
