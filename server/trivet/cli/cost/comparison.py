"""What `trivet cost breakeven` prints: what it assumes, and what follows by each model of price."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import click

from trivet.cli.console.output import print_table
from trivet.costs.breakeven import (
    HOURS_A_MONTH,
    Adapter,
    Machine,
    Payback,
    Sheet,
    Workload,
    against_api,
    by_machine,
    by_sheet,
    of_month,
)

_PLACES = 12
Row = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared. None for a model that was not given."""

    work: Workload
    adapter: Adapter
    sheet: Sheet | None
    machine: Machine | None
    requests_per_month: int | None = None


def as_data(given: Comparison) -> dict[str, Any]:
    """For JSON: assumptions and results; `requests` is null where it never pays."""
    data: dict[str, Any] = {"assumptions": _plain(asdict(given))}
    if given.sheet is not None:
        data["by_sheet"] = _plain(asdict(by_sheet(given.work, given.adapter, given.sheet)))
    if given.machine is not None:
        data["by_machine"] = _plain(asdict(by_machine(given.work, given.adapter, given.machine)))
    if given.sheet is not None and given.machine is not None:
        data["machine_against_api"] = _plain(asdict(against_api(given.work, given.sheet, given.machine)))
    if given.requests_per_month is not None:
        month = of_month(given.requests_per_month, given.work, given.sheet, given.machine)
        data["month"] = _plain(asdict(month))
    return data


def print_comparison(given: Comparison) -> None:
    """A table by model, what a month costs, and what is assumed."""
    print_table(["", "by the price sheet", "by the machine's time"], _rows(given))
    for line in _of_api(given):
        click.echo(line)
    click.echo("\nThis assumes:")
    for line in _assumptions(given):
        click.echo(f"  {line}")


def _rows(given: Comparison) -> Iterator[Row]:
    work, adapter = given.work, given.adapter
    sheet = None if given.sheet is None else by_sheet(work, adapter, given.sheet)
    machine = None if given.machine is None else by_machine(work, adapter, given.machine)
    paid = None if machine is None else machine.payback
    yield "a request with the prompt", _usd(sheet, "prompt_usd"), _usd(paid, "prompt_usd")
    yield "a request with the adapter", _usd(sheet, "adapter_usd"), _usd(paid, "adapter_usd")
    if given.machine is not None and machine is not None:
        busy = given.machine.busy
        if busy < 1:
            yield "  the prompt, idle time included", "", f"{_text(machine.payback.prompt_usd / busy)} USD"
            yield "  the adapter, idle time included", "", f"{_text(machine.payback.adapter_usd / busy)} USD"
        for name, seconds in (("prompt", machine.prompt_seconds), ("adapter", machine.adapter_seconds)):
            yield f"  machine time with the {name}", "", f"{_text(seconds * 1000)} ms"
    yield "the adapter has paid after", _requests(sheet), _requests(paid)
    if machine is not None:
        share = machine.pays_if_missed
        told = "nowhere" if share is None else f"more than {_text(100 * share)}% of requests"
        yield "  it saves time if the prefix misses in", "", told


def _of_api(given: Comparison) -> Iterator[str]:
    work, sheet, machine = given.work, given.sheet, given.machine
    if sheet is not None and machine is not None:
        found = against_api(work, sheet, machine)
        yield ""
        if found.requests is None or found.per_second is None or found.share is None:
            yield "The machine against an API of these prices: never cheaper, even if it were busy all the time."
        else:
            yield (
                f"The machine ({_text(machine.usd_per_month)} USD a month) against an API of these prices: cheaper "
                f"from {found.requests:,} requests a month on, {float(found.per_second):.3g} a second, which is "
                f"{float(100 * found.share):.3g}% of what it can do ({float(found.capacity_per_second):.3g} a second)."
            )
    if given.requests_per_month is not None:
        month = of_month(given.requests_per_month, work, sheet, machine)
        ways = [] if month.api is None else [f"{_text(month.api)} USD by the price sheet"]
        if month.machine is not None:
            ways.append(f"{_text(month.machine)} USD by machines ({month.machines})")
        yield f"{given.requests_per_month:,} requests a month with the prompt: {', '.join(ways)}."


def _assumptions(given: Comparison) -> Iterator[str]:
    work, adapter = given.work, given.adapter
    yield (
        f"a request has {work.prefix_tokens:,} tokens of prefix, {work.input_tokens:,} of its own and "
        f"{work.output_tokens:,} of answer; the prefix is not cached in {_text(100 * work.prefix_missed)}% of requests"
    )
    yield (
        f"the adapter cost {_text(adapter.training_usd)} USD once, keeps {adapter.prefix_tokens:,} tokens of prefix, "
        f"decodes {_text(adapter.decode_factor)} times as long, and answers as well"
    )
    if given.sheet is not None:
        prices = (given.sheet.input, given.sheet.cached, given.sheet.output)
        yield "prices per million tokens: input {}, cached {}, output {} USD".format(*map(_text, prices))
    if given.machine is not None:
        machine = given.machine
        yield (
            f"a machine at {_text(machine.usd_per_hour)} USD an hour, {HOURS_A_MONTH} hours a month, computes "
            f"{_text(machine.prefill_rate)} tokens of prefill or {_text(machine.decode_rate)} of decode a second, "
            f"and is busy {_text(100 * machine.busy)}% of its time"
        )
        yield "time that the adapter spares is worth money only if fewer machines are paid for, or they do other work"


def _usd(paid: Payback | None, name: str) -> str:
    return "-" if paid is None else f"{_text(getattr(paid, name))} USD"


def _requests(paid: Payback | None) -> str:
    if paid is None:
        return "-"
    return "never" if paid.requests is None else f"{paid.requests:,} requests"


def _plain(value: Any) -> Any:
    """Fractions as decimal texts."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return _text(value) if isinstance(value, Fraction) else value


def _text(value: Fraction) -> str:
    """Exact if it has at most `_PLACES` decimal places, else rounded there."""
    with localcontext() as context:
        context.prec = 60
        number = Decimal(value.numerator) / Decimal(value.denominator)
        told = f"{number.quantize(Decimal(1).scaleb(-_PLACES)):f}"
    return told.rstrip("0").rstrip(".") if "." in told else told
