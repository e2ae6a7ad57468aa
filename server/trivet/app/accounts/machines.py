"""From the configuration to the accounts of the machines' time."""

from __future__ import annotations

import logging
import time
from functools import partial

from trivet.config import Config
from trivet.metering.machine.machine_time import WEIGHT, MachineTime
from trivet.metering.machine.weight_fit import FittedWeight
from trivet.metering.prices import NANO

logger = logging.getLogger(__name__)


def machine_times(config: Config) -> dict[str, MachineTime]:
    """By backend, of those whose machine has a price; their time begins now."""
    return {
        name: MachineTime(
            round(machine.usd_per_hour * NANO),
            max(1, round(machine.prompt_token_weight * WEIGHT)),
            time.monotonic_ns(),
            follow=machine.fit_weight,
            on_weight=partial(_tell, name),
        )
        for name, machine in config.file.machines.items()
    }


def _tell(name: str, version: int, found: FittedWeight) -> None:
    bounds = (found.weight, found.lower, found.upper, found.steps)
    logger.warning(
        "machine of %s: a prompt token weighs %.3f of an output token (%.3f to %.3f, by %d steps), version %d",
        *(name, *bounds, version),
    )
