"""`trivet cost breakeven`: a prompt against an adapter against an API, by both models of price."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import click

from trivet.cli.console.output import print_json
from trivet.cli.cost.amounts import Amount, Count, Share
from trivet.cli.cost.comparison import Comparison, as_data, print_comparison
from trivet.costs.breakeven import Adapter, Machine, Sheet, Workload

_SHEET = ("input_price", "cached_price", "output_price")
_MACHINE = ("usd_per_hour", "prefill_rate", "decode_rate")


@click.command(short_help="Tell whether an adapter or a machine pays, and from when.")
@click.option("--prefix-tokens", type=Count(), required=True, help="Tokens that the prompt says in every request.")
@click.option("--input-tokens", type=Count(), required=True, help="Tokens of a request beside them.")
@click.option("--output-tokens", type=Count(), required=True, help="Tokens of an answer.")
@click.option("--prefix-missed", type=Share(), default="0", show_default=True, help="Share of cold prefixes, 0 to 1.")
@click.option("--training-usd", type=Amount(), default="0", show_default=True, help="What the adapter cost, once.")
@click.option(
    "--adapter-prefix-tokens", type=Count(), default="0", show_default=True, help="Tokens that its prompt still says."
)
@click.option(
    "--adapter-decode", type=Amount(least=1), default="1", show_default=True, help="How much longer it decodes: 1.15."
)
@click.option("--input-price", type=Amount(), help="Price sheet, or an API: USD per million input tokens.")
@click.option("--cached-price", type=Amount(), help="USD per million cached input tokens.")
@click.option("--output-price", type=Amount(), help="USD per million output tokens.")
@click.option("--usd-per-hour", type=Amount(), help="Machine: what an hour costs, busy or not.")
@click.option("--prefill-rate", type=Amount(above=0), help="Uncached input tokens per second of its prefill time.")
@click.option("--decode-rate", type=Amount(above=0), help="Output tokens per second of its decode time.")
@click.option("--busy", type=Share(above=0), default="1", show_default=True, help="Share of its time that it is busy.")
@click.option("--requests-per-month", type=Count(), help="Tell the month's costs for so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; amounts as decimal texts.")
def breakeven(as_json: bool, requests_per_month: int | None, **given: Any) -> None:
    """Tell after how many requests an adapter has paid for its training, and from how many a month on a machine is cheaper
    than an API. "never" is an answer.

    By a price sheet, tokens cost; by a machine, its time does: the two may disagree, so both are told, with what they
    assume. Give the three prices, the machine's three numbers, or all six. A machine's rates are measured: tokens
    divided by the seconds that it spent on them (vLLM's metrics have both), not by the sum of requests' durations.

    \b
    Examples:
      trivet cost breakeven --prefix-tokens 900 --input-tokens 60 --output-tokens 120 --training-usd 5 --adapter-decode 1.15 --input-price 0.20 --cached-price 0.02 --output-price 0.60 --usd-per-hour 2.50 --prefill-rate 50000 --decode-rate 5000 --busy 0.55
    """  # noqa: E501
    sheet = _all_or_none(given, _SHEET, "prices")
    machine = _all_or_none(given, _MACHINE, "machine")
    if sheet is None and machine is None:
        raise click.UsageError("expected the prices (--input-price, ...), the machine (--usd-per-hour, ...), or both")
    comparison = Comparison(
        Workload(given["prefix_tokens"], given["input_tokens"], given["output_tokens"], given["prefix_missed"]),
        Adapter(given["training_usd"], given["adapter_prefix_tokens"], given["adapter_decode"]),
        None if sheet is None else Sheet(sheet[0], sheet[1], sheet[2]),
        None if machine is None else Machine(machine[0], machine[1], machine[2], given["busy"]),
        requests_per_month,
    )
    if as_json:
        print_json(as_data(comparison))
    else:
        print_comparison(comparison)


def _all_or_none(given: dict[str, Any], names: tuple[str, ...], of: str) -> list[Fraction] | None:
    values = [given[name] for name in names]
    missing = [f"--{name.replace('_', '-')}" for name, value in zip(names, values, strict=True) if value is None]
    if missing and len(missing) < len(names):
        raise click.UsageError(f"of the {of}, {' and '.join(missing)} is missing: expected all of them or none")
    return None if missing else values
