"""Statements of the machines' time in the request log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from trivet.metering.machine import statements as module
from trivet.metering.machine.machine_time import HOUR, MachineTime
from trivet.metering.machine.statements import MachineStatements
from trivet.types.generation import MachineAccount, MachineState

RATE = 2_500_000_000
SECOND = 1_000_000_000


def whole(line: Any) -> bool:
    booked = sum(line["nanoseconds"].values())
    exact = sum(line["nano_usd"].values()) == line["rate_nano_usd_per_hour"] * booked // HOUR
    return bool(exact and booked + line["in_progress_ns"] == line["wall_ns"])


async def test_the_first_and_the_last_statement_and_those_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.01)
    now = 7 * SECOND
    machine = MachineTime(RATE, 100, now)
    lines: list[Any] = []
    told = MachineStatements({"local": machine}, lines.append, lambda: now)
    now += SECOND
    told.start()
    assert lines[0]["nanoseconds"]["down"] == SECOND
    machine.enter(MachineState.UP, now)
    machine.begin("a", MachineAccount.REQUESTS, 10, now)
    now += SECOND
    while len(lines) < 2:
        await asyncio.sleep(0.001)
    assert lines[1]["in_progress_ns"] == SECOND
    machine.output("a", 1, 10, last=True)
    machine.step(10, now)
    charge = machine.end("a", now)
    assert charge is not None
    await told.close()
    assert lines[-1]["nano_usd"]["requests"] == charge.prefill + charge.decode > 0
    assert all(whole(line) for line in lines)
    assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
    assert {(line["machine"], line["run"], line["wall_ns"]) for line in lines[-1:]} == {
        ("local", lines[0]["run"], 2 * SECOND)
    }


async def test_without_machines_nothing_is_stated() -> None:
    lines: list[Any] = []
    told = MachineStatements({}, lines.append)
    told.start()
    await told.close()
    assert lines == []
