"""`trivet prompt compile`: search for a better version of a prompt, judge it on the suite, write it as the next one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trivet.cli.console.interrupts import interrupted
from trivet.cli.console.output import print_json
from trivet.cli.options.config import LoadConfig, config_options
from trivet.config import Config
from trivet.errors import ConfigError

if TYPE_CHECKING:
    from trivet.cli.prompt.compile.compilation import Compilation, Compiled
    from trivet.evaluation.arms import Arm
    from trivet.evaluation.suite import Suite


@click.command("compile", short_help="Search for a better version of a prompt.")
@click.argument("suite")
@click.option("--arm", "name", default="", help="The arm whose prompt is compiled; default: the suite's baseline.")
@click.option(
    "--data",
    "files",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Questions with right answers to learn from, as a suite's data; repeatable.",
)
@click.option("--shots", type=click.IntRange(0, 16), default=4, show_default=True, help="Worked examples at most.")
@click.option(
    "--candidates", type=click.IntRange(1, 64), default=8, show_default=True, help="Sets of worked examples to draw."
)
@click.option("--reflect", metavar="BACKEND", help="Search instructions too, with this capable backend's advice.")
@click.option(
    "--calls",
    type=click.IntRange(10),
    default=300,
    show_default=True,
    help="Answers that the instruction search judges.",
)
@click.option(
    "--validation",
    type=click.IntRange(4),
    default=100,
    show_default=True,
    help="Questions that candidates are chosen by.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of the split into questions to learn and to judge."
)
@click.option(
    "--margin",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Percentage points by which it must beat the current version.",
)
@click.option(
    "--concurrency", type=click.IntRange(1, 64), default=8, show_default=True, help="Requests in flight at a time."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@config_options
def compile_(
    load: LoadConfig,
    suite: str,
    name: str,
    files: tuple[Path, ...],
    shots: int,
    candidates: int,
    reflect: str | None,
    calls: int,
    validation: int,
    seed: int,
    margin: float,
    concurrency: int,
    as_json: bool,
) -> None:
    """Search for a better version of the prompt of one arm of SUITE, and write it as the next version.

    DSPy chooses worked examples out of --data, on any model; with --reflect, GEPA rewrites the system text first, which
    takes a backend that is good at it. Questions that an evaluation asks are left out. The suite judges what was found
    against the version that there is, and it is written only if it is better, by --margin points and with an interval
    above zero; no version is ever changed. Answers are kept: the same command, interrupted, asks the rest.

    Exit codes: 0 a version was written, 1 none was better or something failed, 2 wrong usage.

    \b
    Examples:
      trivet prompt compile tickets --data tickets-for-prompts.jsonl
      trivet prompt compile tickets --arm prompt --data more.jsonl --shots 3 --candidates 4
      trivet prompt compile tickets --data more.jsonl --reflect api --calls 200
    """
    from trivet.cli.data.suites import asked_by, suite_files  # here, because others start faster without
    from trivet.cli.evaluation.run import find_suite
    from trivet.cli.prompt.compile import material
    from trivet.cli.prompt.compile.compilation import Compilation, Search
    from trivet.evaluation.suite import load_suite

    if not shots and reflect is None:
        raise click.UsageError("--shots 0 without --reflect leaves nothing to search")
    config, path = load(), find_suite(suite)
    whole = load_suite(path)
    arm = _arm(whole, name or whole.main.baseline)
    _require_backend(config, reflect)
    taken = asked_by(suite_files(load, [path])).questions
    learned = material.gather(files, whole.form, taken, validation=validation, training=10 * validation, seed=seed)
    search = Search(shots, candidates, reflect, calls, concurrency)
    compilation = Compilation(config, whole, arm, learned, search)
    with interrupted("the answers so far are kept. The same command asks the others"):
        compiled = compilation.run(margin)
    _end(compilation, compiled, as_json=as_json)


def _require_backend(config: Config, name: str | None) -> None:
    if name is not None and name not in config.file.backends:
        raise ConfigError([f"{config.path}:1: backends: no {name!r}; known: {', '.join(config.file.backends)}"])


def _arm(suite: Suite, name: str) -> Arm:
    found = suite.arm(name)
    if found.stuffed is not None:
        raise ConfigError([f"{suite.path}:1: arms.{name}.stuffed: its prompt holds a corpus, expected an arm without"])
    return found


def _end(compilation: Compilation, compiled: Compiled, *, as_json: bool) -> None:
    from trivet.cli.evaluation.showing import show_checks
    from trivet.cli.prompt.compile.versions import publish

    verdict, told = compiled.verdict, compilation.told(compiled)
    written = publish(compilation.prompt_file.parent, compiled.best.text, told) if verdict.passed else None
    if as_json:
        print_json({**told, "written": None if written is None else str(written), "text": compiled.best.text})
    else:
        _show(told)
        show_checks(verdict.checks)
        if verdict.advice:
            click.echo(verdict.advice)
        said = "nothing is written" if written is None else f"written: {written}"
        click.secho(said, bold=True)
    if written is None:
        raise click.exceptions.Exit(1)


def _show(told: dict[str, Any]) -> None:
    from trivet.cli.prompt.compile.compilation import COMPILED, CURRENT, TOKENS

    for name in (CURRENT, COMPILED):
        right, tokens = told["correct"][name], told["tokens"][name]
        between = "" if right["low"] is None else f" [{right['low']:.3f} to {right['high']:.3f}]"
        counts = ", ".join(
            f"{tokens[kind]:.0f} {kind.replace('_tokens', '')}" for kind in TOKENS if tokens[kind] is not None
        )
        click.echo(
            f"{name:9} {right['value']:.3f}{between} right of {right['n']:,}, {told['shots'][name]} worked examples; "
            f"tokens: {counts}"
        )
