"""What configurations say of their routes, with the store's revisions and the digests of what variants consist of."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from trivet.app.rollouts.specs import AdapterDigest, DeclaredSpec, declared_specs, with_specs
from trivet.config import Config
from trivet.errors import StateUnavailable
from trivet.rollouts.store import RolloutStore
from trivet.routing.content import content_digest
from trivet.types.variant import Route, VersionRef

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Declaration:
    """One configuration's routes and specs of rollouts. `untold`: digests that the store was not there for."""

    routes: Mapping[str, Route]
    specs: Mapping[str, DeclaredSpec]
    untold: Mapping[str, str]


class Declarations:
    """Makes them, and keeps the one that is served. All calls come from one event loop."""

    def __init__(self, store: RolloutStore, adapter_digest: AdapterDigest) -> None:
        self._store = store
        self._adapter_digest = adapter_digest
        self._on_settle: Callable[[], None] = lambda: None
        self.specs: Mapping[str, DeclaredSpec] = {}
        self.untold: dict[str, str] = {}

    def on_settle(self, told: Callable[[], None]) -> None:
        """`told` is called when another one is served."""
        self._on_settle = told

    async def declare(self, config: Config, prompt_digest: Callable[[VersionRef], str]) -> Declaration:
        """The configuration's routes with their revisions; while the store is away those are 0, and told later."""
        specs = await declared_specs(config, prompt_digest, self._adapter_digest)
        routes = with_specs(config.routes, specs)
        digests = {name: content_digest(route) for name, route in routes.items()}
        try:
            revisions, untold = await self._store.announce(digests), {}
        except StateUnavailable as problem:
            logger.warning("served without revisions and rollouts until the state store is there: %s", problem)
            revisions, untold = dict.fromkeys(digests, 0), digests
        revised = {name: replace(route, revision=revisions[name]) for name, route in routes.items()}
        return Declaration(revised, specs, untold)

    def settle(self, declaration: Declaration) -> None:
        """These routes are served: their rollouts are the ones that may run."""
        self.specs, self.untold = declaration.specs, dict(declaration.untold)
        self._on_settle()
