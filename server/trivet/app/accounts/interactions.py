"""From the configuration to the interaction log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from trivet.config import Config
from trivet.errors import FailedPrecondition
from trivet.interactions.archive import InteractionArchive
from trivet.interactions.recorder import OUTCOMES, InteractionRecorder
from trivet.interactions.redaction import Redactor, load_hook
from trivet.interactions.sealing import Sealer, read_keys
from trivet.metering.metrics import Metrics
from trivet.metering.receipt_log.json_form import to_json
from trivet.routing.table import RouteTable
from trivet.stores.state import StateStore

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Interactions:
    """What keeps them, and what reads and erases them."""

    recorder: InteractionRecorder
    archive: InteractionArchive


@asynccontextmanager
async def open_interactions(
    config: Config, state: StateStore, metrics: Metrics, routes: RouteTable
) -> AsyncIterator[Interactions]:
    """What waits when the block ends is handed over. FailedPrecondition for keys or a hook that cannot be had."""
    section = config.file.interactions
    hook = None if section.redaction_hook is None else load_hook(section.redaction_hook)
    redactor, sealer = Redactor(section.redact, hook), Sealer(_keys(config))
    for outcome in OUTCOMES:
        metrics.interactions.labels(outcome)

    def share(name: str) -> float:
        route = routes.routes.get(name)
        return 0.0 if route is None else route.kept_share

    recorder = InteractionRecorder(
        state,
        share,
        redactor=redactor,
        sealer=sealer,
        receipt_form=to_json,
        keep_seconds=section.retention_days * _DAY,
        count=lambda outcome, number: metrics.interactions.labels(outcome).inc(number),
    )
    recorder.start()
    try:
        yield Interactions(recorder, InteractionArchive(state, redactor, sealer, recorder.flush))
    finally:
        await recorder.close()


def _keys(config: Config) -> tuple[bytes, ...]:
    name = config.file.interactions.key_file
    if name is None:
        return ()
    try:
        return read_keys(config.resolve(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise FailedPrecondition(f"interactions.key_file cannot be read: {error}") from error
    except FailedPrecondition as error:
        raise FailedPrecondition(f"interactions.key_file: {error}") from error
