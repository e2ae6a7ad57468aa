"""What is known of one adapter."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from trivet.adapters.lifecycle.changes.serial_executor import SerialExecutor
from trivet.errors import BackendUnavailable
from trivet.types.adapter import AdapterState, StagedAdapter
from trivet.types.variant import VersionRef


@dataclass(slots=True, eq=False)
class AdapterEntry:
    """One adapter, from when somebody asks for it until nobody does.

    `incarnation`: the life of the engine that it was added to; 0 if it is in no engine. One that is ready and in no
    engine is cold: its copy is sound, and it is added again for the request that needs it.
    `chosen_by`: the tenant of the request that chose it last.
    `engine` is held while it is added to the engine or taken out; `changes` orders everything else that changes it.
    """

    ref: VersionRef
    state: AdapterState = AdapterState.REGISTERED
    staged: StagedAdapter | None = None
    problem: str = ""
    incarnation: int = 0
    leases: int = 0
    chosen_by: str = ""
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    changes: SerialExecutor = field(default_factory=SerialExecutor)
    engine: asyncio.Lock = field(default_factory=asyncio.Lock)
    reloading: asyncio.Task[None] | None = None

    @property
    def blank(self) -> bool:
        """There is nothing in it that would be missed."""
        return self.state is AdapterState.REGISTERED and self.staged is None and not self.leases

    @property
    def cold(self) -> bool:
        """Ready, and in no engine."""
        return self.state in (AdapterState.READY, AdapterState.DRAINING) and not self.incarnation

    def fail(self, problem: BaseException) -> None:
        """It could not be brought up. What is staged stays so while the engine is away."""
        away = isinstance(problem, BackendUnavailable) and self.staged is not None
        self.state = AdapterState.STAGED if away else AdapterState.FAILED
        self.problem = str(problem) or type(problem).__name__

    def clear(self) -> None:
        """Nothing of it is left."""
        self.state, self.staged, self.problem, self.incarnation = AdapterState.REGISTERED, None, "", 0

    def release(self) -> None:
        """One request less uses it."""
        self.leases -= 1
        if not self.leases:
            self.idle.set()

    async def cancel(self) -> None:
        """Stop what is under way; for the end of the process."""
        await self.changes.cancel()
        if self.reloading is not None and not self.reloading.done():
            self.reloading.cancel()
            await asyncio.wait({self.reloading})
