"""Reading the configuration again: its routes, prices, keys, limits and new prompts are served without a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from trivet.app.accounts.budgets import budget_settings
from trivet.app.backend import variants_of
from trivet.app.doors.listeners import key_entries
from trivet.app.prompts import PromptSet, ServedPrompts
from trivet.app.rollouts.declarations import Declarations
from trivet.budgets.budgets import Budgets
from trivet.config import Config, needs_restart
from trivet.config.budgets import limit_set
from trivet.errors import ConfigError, TrivetError
from trivet.metering.prices import IndexPrice, Price, PriceSheet
from trivet.pipeline.routes.route_update import RouteChange, RouteUpdater
from trivet.pipeline.variables import uneven_variables
from trivet.rpc.auth import Authenticator

logger = logging.getLogger(__name__)


def prices_of(config: Config) -> PriceSheet:
    """What requests are charged by."""
    file = config.file
    return PriceSheet(
        {name: Price(**price.model_dump()) for name, price in file.prices.items()},
        {name: IndexPrice(**price.model_dump()) for name, price in file.index_prices.items()},
    )


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call, and how much they may use."""

    keys: Authenticator
    budgets: Budgets

    def replace(self, config: Config) -> None:
        """From the next call on as this configuration has it."""
        self.keys.replace(key_entries(config))
        self.budgets.replace(limit_set(config.file), budget_settings(config))


def access_differences(old: Config, new: Config) -> Iterator[str]:
    """Which keys, by their names, and whether limits differ."""
    before, after = ({key.name: key for key in config.file.keys} for config in (old, new))
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield f"key {name} is {'new' if name not in before else 'gone' if name not in after else 'changed'}"
    if old.file.budgets != new.file.budgets:
        yield "budgets"


class RouteReload:
    """All calls come from one event loop; `close` last.

    `read` gives the configuration as it is now, or raises ConfigError. `prices` is what requests are charged by; it is
    kept up here. `declarations` gives the routes their revisions, and is told which are served. `access` is who may
    call, and how much.
    """

    def __init__(
        self,
        config: Config,
        read: Callable[[], Config],
        route_updater: RouteUpdater,
        prompts: ServedPrompts,
        prices: PriceSheet,
        declarations: Declarations,
        access: Access,
    ) -> None:
        self._config = config
        self._read = read
        self._route_updater = route_updater
        self._prompts = prompts
        self._prices = prices
        self._declarations = declarations
        self._access = access
        self._reranked = set(_reranked(config))
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[RouteChange]] = set()

    async def reload(self) -> RouteChange:
        """Read it, check it whole, warm what is new, then serve it; one at a time, others wait and read it anew.

        Raises ConfigError, with file, line and field, for a configuration that is wrong or that differs in what needs a
        restart, and whatever keeps a variant from being warm: then nothing has changed. Cancelling a caller stops
        nothing.
        """
        task = asyncio.create_task(self._told())
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Stop what is under way; the old routes are served on."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[RouteChange]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may be gone; it is in the log

    async def _told(self) -> RouteChange:
        try:
            change = await self._next()
        except (TrivetError, OSError) as problem:
            logger.error("not reloaded, the old routes are served on: %s", problem)
            raise
        except Exception:
            logger.exception("not reloaded, the old routes are served on")
            raise
        lines = "; ".join(change.differences) or "nothing differs"
        logger.warning("reloaded, revision %d: %s", change.revision, lines)
        return change

    async def _next(self) -> RouteChange:
        async with self._turn:
            config, prompts = await asyncio.to_thread(self._checked)
            before, prices = self._config.routes, prices_of(config)
            repriced: list[str] = []
            who = tuple(access_differences(self._config, config))

            def with_the_routes() -> None:
                repriced.extend(self._prices.replace(prices))
                self._prompts.settle(prompts)
                self._declarations.settle(declared)
                self._access.replace(config)
                self._config = config

            declared = await self._declarations.declare(config, prompts.digests.__getitem__)
            self._prompts.add(prompts)
            try:
                change = await self._route_updater.replace(declared.routes, with_the_routes)
            except BaseException:
                if self._config is not config:
                    self._prompts.withdraw(prompts)
                raise
        told = set(uneven_variables(before, self._prompts.variables_of))
        uneven = [line for line in uneven_variables(config.routes, self._prompts.variables_of) if line not in told]
        changed = (*change.differences, *repriced, *who, *uneven)
        return replace(change, differences=changed)

    def _checked(self) -> tuple[Config, PromptSet]:
        config = self._read()
        problems = needs_restart(self._config, config) or list(self._not_reranked(config))
        if problems:
            raise ConfigError(problems)
        return config, self._prompts.read(config)

    def _not_reranked(self, config: Config) -> Iterator[str]:
        """Cross-encoders are opened at the start, if a route asks for one."""
        for index in sorted(set(_reranked(config)) - self._reranked):
            yield f"{config.path}:1: routes: nothing asked to rerank index {index} at the start: needs a restart"


def _reranked(config: Config) -> Iterator[str]:
    for _, variant in variants_of(config):
        if variant.retrieval is not None and variant.retrieval.rerank:
            yield variant.retrieval.index
