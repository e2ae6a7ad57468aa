"""From the configuration to the accounts of the machines' time."""

from __future__ import annotations

import time

from trivet.config import Config
from trivet.metering.machine.machine_time import WEIGHT, MachineTime
from trivet.metering.prices import NANO


def machine_times(config: Config) -> dict[str, MachineTime]:
    """By backend, of those whose machine has a price; their time begins now."""
    now = time.monotonic_ns()
    return {
        name: MachineTime(round(machine.usd_per_hour * NANO), max(1, round(machine.prompt_token_weight * WEIGHT)), now)
        for name, machine in config.file.machines.items()
    }
