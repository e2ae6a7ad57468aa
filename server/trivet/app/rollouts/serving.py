"""Rollouts of one gateway: everything that runs against the state store."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping

from trivet.app.rollouts.declarations import Declarations
from trivet.app.rollouts.gateway_name import own_name
from trivet.app.rollouts.specs import DeclaredSpec
from trivet.config import Config
from trivet.errors import Conflict, FailedPrecondition
from trivet.rollouts.control.controller import Controller
from trivet.rollouts.control.follower import Follower, Steered
from trivet.rollouts.control.operations import Operations
from trivet.rollouts.control.overrides import Overrides
from trivet.rollouts.control.recorder import Recorder
from trivet.rollouts.control.retention import Retention
from trivet.rollouts.control.timing import Timing
from trivet.rollouts.receipts import observation_of, unit_of
from trivet.rollouts.states import State
from trivet.rollouts.store import RolloutStore
from trivet.stores.data_folder import DataFolder
from trivet.types.receipt import Receipt
from trivet.types.rollout import RouteRollout
from trivet.types.rollout_state import GatewayStatus, RolloutRecord

logger = logging.getLogger(__name__)

BY_ITSELF = "configuration"
"""The actor of what a configuration asks for without a person."""
_LAST_FLUSH = 5.0  # seconds


class Rollouts:
    """Follows the store, records what this gateway answers, and leads if nobody else does.

    All calls come from one event loop: `follow` and `start` once, `close` last.
    """

    def __init__(
        self,
        config: Config,
        folder: DataFolder,
        store: RolloutStore,
        address: str,
        declarations: Declarations,
        served: Steered,
        on_move: Callable[[RolloutRecord], None],
    ) -> None:
        """`address`: where operators reach this gateway. `on_move` is told each transition that it makes.

        Raises FailedPrecondition for a damaged file of its own.
        """
        self._store = store
        self._declarations = declarations
        self._served = served
        timing = self._timing = Timing()
        name = f"{socket.gethostname()[:64]}-{own_name(folder.gateway_name)}"
        self._recorder = Recorder(store.append, name, timing)
        try:
            overrides = Overrides(folder.overrides)
        except ValueError as problem:
            raise FailedPrecondition(str(problem)) from problem
        self._follower = Follower(
            store, served, overrides, GatewayStatus(name, self._recorder.epoch, address), timing,
            config.file.state.cut_off_after, on_records=self._read, first=self._tell,
        )  # fmt: skip
        self.operations = Operations(
            store,
            self._follower,
            lambda: {route: (spec.digest, spec.json) for route, spec in declarations.specs.items()},
            on_move,
        )
        self._controller = Controller(
            store, f"{name}/{self._recorder.epoch}", timing, self.operations.looked, on_move=on_move
        )
        self._created: set[tuple[str, str]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        declarations.on_settle(self._follower.wake)

    async def follow(self) -> None:
        """Serve what the store says now."""
        await self._follower.follow()

    def start(self) -> None:
        """Do so from now on."""
        retention = Retention(self._store, self._timing, lambda: self._controller.leads)
        parts = (self._follower, self._recorder, self._controller, retention)
        self._tasks = [asyncio.create_task(part.run()) for part in parts]

    def record(self, receipt: Receipt) -> None:
        """A request has ended."""
        rollout = self._running(receipt)
        if rollout is None:
            return
        observation = observation_of(receipt, rollout, self._timing.monotonic())
        if observation is not None:
            self._recorder.observe(receipt.rollout, observation)

    def rate(self, receipt: Receipt, score: float | None) -> None:
        """Somebody has said how good an answer was, or taken it back. It counts while the answer's own step lasts."""
        rollout = self._running(receipt)
        if rollout is None or (receipt.rollout, receipt.rollout_step) != (rollout.id, rollout.step):
            return
        unit = unit_of(receipt)
        if unit is not None:
            self._recorder.rate(rollout.id, rollout.step, unit, receipt.request_id, score)

    def _running(self, receipt: Receipt) -> RouteRollout | None:
        """What its route goes through, where requests of it count."""
        rollout = self._follower.served(receipt.route) if receipt.rollout else None
        return None if rollout is None or rollout.ended or rollout.local else rollout

    async def close(self) -> None:
        """Hand over what was recorded, and let others lead."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(_LAST_FLUSH):
                await self._recorder.flush()
        except TimeoutError:
            logger.warning("the last second's observations of rollouts could not be handed over")

    def _read(self, records: Mapping[str, RolloutRecord]) -> None:
        self._recorder.keep({record.id: record.step for record in records.values()})
        self.operations.read(records)

    async def _tell(self) -> None:
        """What the store does not know yet: revisions asked for while it was away, new specs, what begins by itself."""
        declarations = self._declarations
        if declarations.untold:
            revisions = await self._store.announce(declarations.untold)
            self._served.steer(dict.fromkeys(revisions), revisions)
            declarations.untold = {}
        for route, spec in list(declarations.specs.items()):
            if (route, spec.digest) not in self._created:
                await self._create(route, spec)
                self._created.add((route, spec.digest))
            if spec.automatic:
                await self._begin(route, spec)

    async def _create(self, route: str, spec: DeclaredSpec) -> None:
        reason = "The configuration has this rollout."
        record = await self._store.create(route, spec.digest, spec.json, actor=BY_ITSELF, reason=reason)
        if record.spec_digest != spec.digest:
            logger.warning(
                "the rollout of route %s in this configuration has been there before, and another one since: all units "
                "have the stable variant; `trivet rollout start %s --restart` begins it anew", route, route,
            )  # fmt: skip

    async def _begin(self, route: str, spec: DeclaredSpec) -> None:
        record = self._follower.records.get(route)
        if record is None or State(record.state) is not State.PENDING or record.spec_digest != spec.digest:
            return
        try:
            await self.operations.start(route, actor=BY_ITSELF, reason="start: automatic", revision=record.revision)
        except (Conflict, FailedPrecondition):  # another gateway was faster
            self._follower.wake()
