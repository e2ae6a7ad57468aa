"""`trivet data erase`: a person's right to be forgotten."""

from __future__ import annotations

import click

from trivet.cli.console.output import print_json
from trivet.cli.options.target import target_options
from trivet.client import Client, Target

_AT_ONCE = 1000


@click.command(short_help="Erase interactions for good.")
@click.option("--unit", "units", multiple=True, help="Everything of a unit, as requests named it; repeatable.")
@click.option("--request", "requests", multiple=True, help="One request, by its id; repeatable.")
@click.option("--all", "everything", is_flag=True, help="Everything of the key's tenant.")
@click.option("--yes", is_flag=True, help="With --all: do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@target_options("operators")
def erase(
    target: Target, units: tuple[str, ...], requests: tuple[str, ...], everything: bool, yes: bool, as_json: bool
) -> None:
    """Erase interactions of the key's tenant, with what people said of them: of units, of requests, or all.

    What a gateway still holds of them is not stored later. Receipts stay: they have no texts, and no unit's id.

    \b
    Examples:
      trivet data erase --unit customer-4711
      trivet data erase --request 2f6c9b0e8d1a4b57a3f0c2d4e6b81937
      trivet data erase --all --yes
    """
    if everything == bool(units or requests):
        raise click.UsageError("expected --unit or --request, or --all")
    if everything and not yes:
        click.confirm("Erase every interaction of this tenant?", abort=True, err=True)
    erased = 0
    with Client(target) as client:
        if everything:
            erased = client.interactions.erase(everything=True)
        for start in range(0, max(len(units), len(requests)), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            erased += client.interactions.erase(unit_ids=units[some], request_ids=requests[some])
    if as_json:
        print_json({"erased": erased})
    else:
        click.echo(f"erased {erased:,} interactions")
