"""Which nodes a fleet has, while their links come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.engine.served_node import remote_settings
from trivet.fleet import membership as room
from trivet.fleet.discovery import Discovery, Found
from trivet.fleet.membership import Membership
from trivet.fleet.tasks import Tasks


class Link:
    """As much of `RemoteEngine` as is looked at. Its end takes a moment, in which others are heard of."""

    def __init__(self, address: str, _settings: Any, _agreement: Any, heard: Callable[[], None]) -> None:
        self.address, self.heard = address, heard
        self.view: Any = SimpleNamespace()
        self.ready = self.draining = self.closed = False
        self.incarnation = 0
        self.facts = None
        self.meanwhile: Callable[[], None] = lambda: None

    def connect(self) -> None:
        """It has a view from the start."""

    def lose(self) -> None:
        """The link is lost, and told to be."""
        self.view = None
        self.heard()

    async def close(self) -> None:
        """See the class."""
        await asyncio.sleep(0)
        self.meanwhile()
        self.closed = True


class Failing(Discovery):
    """It fails once, then finds a node."""

    watched = 0

    async def watch(self) -> AsyncGenerator[Found, None]:
        """See the class."""
        self.watched += 1
        if self.watched == 1:
            raise KeyError("nobody thought of that")
        yield Found(frozenset({"a:1"}))
        await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "RemoteEngine", Link)
    monkeypatch.setattr(room, "RETRY_FIRST", 0.01)


def members(tasks: Tasks) -> Membership:
    nothing: Callable[..., None] = lambda *_: None  # noqa: E731
    return Membership(remote_settings(), 0.0, Failing(), tasks, unprepared=nothing, changed=nothing)


async def test_a_node_whose_link_is_lost_while_another_one_leaves() -> None:
    tasks = Tasks("test")
    found = members(tasks)
    await found.list(frozenset({"a:1", "b:1"}))
    first, second = (cast("Any", found.endpoints[address].engine) for address in ("a:1", "b:1"))
    await found.list(frozenset())  # both have a link yet, so both stay
    assert set(found.endpoints) == {"a:1", "b:1"}
    first.view, first.meanwhile = None, second.lose
    await found.list(frozenset())
    assert not found.endpoints
    await asyncio.sleep(0.01)
    assert first.closed
    assert second.closed
    await tasks.close()


async def test_discovery_that_fails_begins_again(caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks("test")
    found = members(tasks)
    found.start()
    async with asyncio.timeout(10):
        while not found.endpoints:
            await asyncio.sleep(0.01)
    assert "discovery failed, it begins again in" in caplog.text
    assert not found.problem
    await tasks.close()
