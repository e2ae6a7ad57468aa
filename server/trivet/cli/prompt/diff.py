"""`trivet prompt diff`: what a new version changes, for the model, the cache and those who send requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from trivet.cli.console.output import print_json, print_table
from trivet.cli.options.config import config_options
from trivet.cli.prompt.lint import finding_data, finding_line, review_data
from trivet.config import Config
from trivet.types.variant import VersionRef

if TYPE_CHECKING:
    from trivet.app.project import CacheChange, PromptComparison


class VersionType(click.ParamType[VersionRef]):
    """`name@version`."""

    name = "version"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> VersionRef:
        """Read it; a usage error if it has another form."""
        try:
            return value if isinstance(value, VersionRef) else VersionRef.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(short_help="Compare two versions of a prompt.")
@click.argument("before", type=VersionType(), metavar="PROMPT@VERSION")
@click.argument("after", type=VersionType(), metavar="PROMPT@VERSION")
@click.option(
    "--fail-on-loss", is_flag=True, help="Exit with 1 if a request finds fewer tokens in the cache than before."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@config_options
def diff(load: Callable[[], Config], before: VersionRef, after: VersionRef, fail_on_loss: bool, as_json: bool) -> None:
    """Show what changes from one version to another, without a server: the text, the variables, tokens and blocks of
    the KV cache before and after, and what a review finds in one of them only.

    A request is predicted to find the full blocks of the prefix cached. What it finds less costs the difference
    between the prices of computed and of cached input, where the backend has prices.

    \b
    Examples:
      trivet prompt diff support-json@1 support-json@2
      trivet prompt diff support@1 support@2 --fail-on-loss
    """
    from trivet.app.project import compare  # here, because other commands need no tokenizer

    found = compare(load(), before, after)
    if as_json:
        print_json(_data(found))
    else:
        _tell(found)
    if fail_on_loss and any(change.lost > 0 for change in found.caches):
        raise click.exceptions.Exit(1)


def _data(found: PromptComparison) -> dict[str, Any]:
    return {
        "before": review_data(found.before),
        "after": review_data(found.after),
        "text": found.text,
        "variables": found.variables,
        "caches": [_cache_data(change) for change in found.caches],
        "new": [finding_data(finding) for finding in found.new],
        "gone": [finding_data(finding) for finding in found.gone],
    }


def _cache_data(change: CacheChange) -> dict[str, Any]:
    cost = None if change.lost_usd is None else float(change.lost_usd)
    return {
        "backend": change.before.backend,
        "cached_tokens_before": change.before.cached,
        "cached_tokens_after": change.after.cached,
        "lost_tokens": change.lost,
        "kept_tokens": change.kept,
        "lost_usd_per_thousand_requests": cost,
    }


def _tell(found: PromptComparison) -> None:
    for line in found.text:
        color = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        click.echo(click.style(line, fg=color))
    if not found.text:
        click.echo("the text is the same")
    click.echo()
    columns = ["backend", "", "prefix tokens", "blocks", "cached", "static text behind variables"]
    rows = [
        (size.backend if when == "before" else "", when, size.prefix, _known(size.blocks), size.cached, size.behind)
        for change in found.caches
        for when, size in (("before", change.before), ("after", change.after))
    ]
    print_table(columns, rows)
    for change in found.caches:
        click.echo(f"\n{change.before.backend}: {_predicted(change)}")
    for line in found.variables:
        click.echo(f"variable {line}")
    for heading, review, findings in (("new", found.after, found.new), ("gone", found.before, found.gone)):
        for finding in findings:
            click.echo(f"{heading}: {finding_line(review.path, finding)}")


def _known(value: int | None) -> str:
    return "chosen by the engine" if value is None else str(value)


def _predicted(change: CacheChange) -> str:
    once = change.after.cached - min(change.kept, change.after.cached)
    told = f"{once:,} tokens are computed once for each adapter, {change.kept:,} are the old version's"
    if change.lost == 0:
        return f"each request finds as much cached as before; {told}"
    more = "fewer" if change.lost > 0 else "more"
    price = ""
    if change.lost_usd is not None:
        price = f" (USD {abs(change.lost_usd):f} {'more' if change.lost > 0 else 'less'} for a thousand requests)"
    return f"each request finds {abs(change.lost):,} tokens {more} cached{price}; {told}"
