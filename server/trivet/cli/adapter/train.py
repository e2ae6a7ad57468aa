"""`trivet adapter train`: from a recipe and chats or pairs to an adapter's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from trivet.cli.adapter.recipe import load_recipe
from trivet.cli.console.errors import print_failure
from trivet.cli.console.output import print_json
from trivet.cli.console.steps_progress import StepsProgress
from trivet.errors import ConfigError, FailedPrecondition
from trivet.training import Job


@click.command(short_help="Train an adapter from a recipe.")
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of adapters to write into; default: the recipe's.",
)
@click.option("--steps", type=click.IntRange(1), help="Number of steps; default: the recipe's.")
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="CPU threads. Another number rounds differently, so it gives other bytes.",
)
@click.option(
    "--restart", is_flag=True, help="Begin anew instead of going on from an unfinished training's checkpoint."
)
@click.option("--no-score", is_flag=True, help="Do not score the adapter on the held-out chats.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object: folder and manifest.")
def train(
    recipe: Path, out: Path | None, steps: int | None, threads: int, restart: bool, no_score: bool, as_json: bool
) -> None:
    """Train the adapter that RECIPE (a YAML file) describes, score it on held-out chats and write its folder.

    If it is interrupted, the same command goes on from the last checkpoint and gives the same bytes. It never
    overwrites a version. docs/adapters.md explains the recipe.

    \b
    Examples:
      trivet adapter train models/demo/recipes/ticket-sorter.yaml
      trivet adapter train my-recipe.yaml --out /tmp/adapters --steps 20 --no-score
      trivet adapter train my-recipe.yaml --json > adapter.json
    """
    kept = "nothing has been trained yet"
    try:
        job = _load(recipe, out, steps, threads)
        kept = f"the last checkpoint is kept, one is made every {job.checkpoint_steps} steps"
        from trivet.training.run import run  # here, because the other commands need no torch

        with StepsProgress() as progress:
            manifest = run(job, progress, restart=restart, scored=not no_score)
    except ConfigError as error:  # a recipe or chats that are wrong: wrong usage
        print_failure(error, as_json=as_json)
        raise click.exceptions.Exit(2) from error
    except KeyboardInterrupt as stop:
        click.echo(f"stopped: {kept}. The same command continues from there.", err=True)
        raise click.exceptions.Exit(1) from stop
    if as_json:
        print_json({"folder": str(job.target), "manifest": manifest})
    else:
        _show(job.target, manifest)


def _load(recipe: Path, out: Path | None, steps: int | None, threads: int) -> Job:
    try:
        return load_recipe(recipe, out=out, steps=steps, threads=threads)
    except ModuleNotFoundError as error:
        if error.name not in {"peft", "torch"}:
            raise
        raise FailedPrecondition(f"training needs {error.name}: pip install 'peft>=0.17'") from error


def _show(folder: Path, manifest: Mapping[str, Any]) -> None:
    click.echo(f"{manifest['name']}@{manifest['version']}: {folder}")
    click.echo(f"  digest    {manifest['digest']}")
    data = manifest["data"]
    click.echo(
        f"  learned   {data['tokens_seen']:,} tokens of {data['chats']:,} chats, loss {manifest['metrics']['loss']}"
    )
    held_out = manifest["metrics"].get("held_out")
    if held_out:
        for title, found in (("held out", held_out), ("  base", held_out["base"])):
            told = _share(found) if "share" in found else f"reward {_mean(found['reward'])}"
            click.echo(f"  {title:9} {told}, n = {held_out['n']}")
        for title in ("fell", "gained"):
            if title in held_out:
                click.echo(f"  {title:9} {_mean(held_out[title])}")
    cost = manifest.get("cost")
    if cost:
        click.echo(f"  cost      ${cost['usd']:.4f} ({cost['hours']:.4f} h at ${cost['price_per_hour']:g} an hour)")


def _mean(found: Mapping[str, float]) -> str:
    return f"{found['mean']:.3f} [{found['low']:.3f} to {found['high']:.3f}]"


def _share(found: Mapping[str, Any]) -> str:
    return f"{found['right']} right, {found['share']:.3f} [{found['low']:.3f} to {found['high']:.3f}]"
