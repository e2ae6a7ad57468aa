"""`trivet check`: is the project sound?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import click

from trivet.cli.console.output import print_json
from trivet.cli.options.config import LoadConfig, config_options
from trivet.config import Config
from trivet.errors import ConfigError

_LINE = re.compile(r"(?P<file>/.+?|.+?(?=:\d))(?::(?P<line>\d+))?: (?:(?P<field>[^\s:]+): )?(?P<message>.*)", re.DOTALL)


@click.command(short_help="Check a project without starting anything.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object: ok, problems, notes.")
@config_options
def check(load: LoadConfig, as_json: bool) -> None:
    """Check a project without starting anything, and say everything that is wrong with it at once.

    It reads the configuration, the prompts and their variables, the indexes, the adapters (held against the base
    model), the model's folder, keys, TLS files, the listeners' addresses, and the suites below evals/. For each problem
    it tells the file, the line and the field, what is wrong, and what was expected. Notes do not keep anything from
    being served.

    The exit code is 0 if nothing is wrong, and 1 otherwise.

    \b
    Examples:
      trivet check
      trivet check --config deploy/production.yaml
      trivet check --json | jq -r '.problems[].message'
    """
    from trivet.app.project import check_project  # here, because other commands need no server's code

    found = check_project(load.path, load.overrides())
    problems = [*found.problems, *(suite_problems(found.config) if found.config is not None else ())]
    if as_json:
        told = [as_data(line) for line in problems]
        print_json({"ok": not problems, "problems": told, "notes": [as_data(line) for line in found.notes]})
    else:
        _tell(load, found.config, problems, found.notes)
    if problems:
        raise click.exceptions.Exit(1)


def as_data(line: str) -> dict[str, Any]:
    """`file:line: field: message` by its parts; what has no place is a message alone."""
    match = _LINE.fullmatch(line)
    if match is None:
        return {"file": None, "line": None, "field": None, "message": line}
    return {**match.groupdict(), "line": None if match["line"] is None else int(match["line"])}


def suite_problems(config: Config) -> Iterator[str]:
    """What is wrong with the suites beside the configuration, and with their arms."""
    from trivet.cli.evaluation.config import arm_problems  # here, because it imports the evaluation
    from trivet.evaluation.suite import load_suite
    from trivet.prompts.template.library import PromptLibrary

    for path in sorted((config.path.parent / "evals").glob("*/suite.yaml")):
        try:
            suite = load_suite(path)
        except ConfigError as error:
            yield from error.problems
            continue
        if suite.prompts is not None:
            yield from PromptLibrary.load_partly(suite.prompts)[1]
        yield from arm_problems(config, suite)


def _tell(load: LoadConfig, config: Config | None, problems: list[str], notes: tuple[str, ...]) -> None:
    for line in problems:
        click.echo(line)
    for line in notes:
        click.echo(f"note: {line}", err=True)
    if problems or config is None:
        click.echo(f"{_counted(len(problems), 'problem')} found", err=True)
        return
    variants = sum(len(route.variants) for route in config.routes.values())
    parts = [(len(config.routes), "route"), (variants, "variant"), (len(config.indexes), "index")]
    click.echo(f"{load.path} is sound: {', '.join(_counted(count, name) for count, name in parts)}")


def _counted(count: int, name: str) -> str:
    return f"{count} {name if count == 1 else {'index': 'indexes'}.get(name, f'{name}s')}"
