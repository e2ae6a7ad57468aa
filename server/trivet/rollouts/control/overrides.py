"""Rollbacks by hand while the store is away: kept by this gateway, and told to the store when it is back."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from trivet.errors import Conflict, NotFound
from trivet.rollouts.control.records import move_to, position_of, spec_of
from trivet.rollouts.states import TERMINAL, Event, State, apply
from trivet.rollouts.store import RolloutStore
from trivet.types.rollout_state import RolloutRecord

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Override:
    """A rollback that the store does not know of yet."""

    rollout: str
    route: str
    actor: str
    reason: str


class Overrides:
    """Kept in a file, so that they survive a restart. All calls come from one event loop."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError for a file that is none of ours."""
        self._path = path
        self._known = {one.rollout: one for one in _read(path)}

    def holds(self, record: RolloutRecord) -> bool:
        """Whether this rollout was rolled back here."""
        return record.id in self._known

    def told(self) -> Mapping[str, str]:
        """Reasons by route."""
        return {one.route: one.reason for one in self._known.values()}

    def add(self, record: RolloutRecord, actor: str, reason: str) -> None:
        """Hold it at stable from now on, durably."""
        self._known[record.id] = Override(record.id, record.route, actor, reason)
        self._write()

    async def reconcile(self, store: RolloutStore) -> None:
        """Tell the store, which may know better by now. Raises StateUnavailable: then they are told later."""
        for override in list(self._known.values()):
            if await self._told(store, override):
                del self._known[override.rollout]
                self._write()

    @staticmethod
    async def _told(store: RolloutStore, override: Override) -> bool:
        try:
            record = await store.rollout(override.rollout)
            if State(record.state) in TERMINAL:
                return True
            after = apply(position_of(record), Event.ROLLBACK, spec_of(record), await store.now())
            message = f"Rolled back on a gateway while the state store was away: {override.reason}"
            await store.move(record.id, record.revision, move_to(after, "rollback", "by_hand", message, override.actor))
        except NotFound:
            return True
        except Conflict:  # somebody was faster: look again
            return False
        except ValueError:
            logger.exception("the rollback of rollout %s is not told to the store", override.rollout)
            return True
        return True

    def _write(self) -> None:
        """In place of the file at once, so that half of it is never read."""
        data = json.dumps([asdict(one) for one in self._known.values()])
        fresh = self._path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)


def _read(path: Path) -> list[Override]:
    try:
        return [Override(**one) for one in json.loads(path.read_bytes())]
    except FileNotFoundError:
        return []
    except (OSError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} holds no rollbacks of ours, expected a list ({type(error).__name__}: {error}). It says which "
            "rollouts were rolled back by hand while the state store was away. Look at them with `trivet rollout ls` "
            "on another gateway, or move the file away, start, and roll back again what should be"
        ) from error
