"""docs/cli.md and the help texts tell of the command as it is: every verb, no other verb, no other option."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.support.pages.command_lines import commands_of
from trivet.cli.main import main

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def verbs(command: click.Command = main, name: str = "trivet") -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield name, command
    if not isinstance(command, click.Group):
        return
    for word, inner in commands_of(command).items():
        yield from verbs(inner, f"{name} {word}")


VERBS = dict(verbs())
EXAMPLES = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
IN_HELP = [
    line.strip()
    for command in VERBS.values()
    for line in (command.help or "").partition("Examples:")[2].splitlines()
    if line.strip()
]


def test_the_page_has_a_section_with_an_example_for_every_verb_and_no_other() -> None:
    assert sorted(re.findall(r"^### `(.*)`$", PAGE, re.MULTILINE)) == sorted(VERBS)
    for section in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        name = section.partition("`\n")[0].strip("`")
        assert f"\n{name}" in section, name


@pytest.mark.parametrize("line", [*EXAMPLES, *IN_HELP])
def test_an_example_is_one_that_can_be_typed(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(line.partition(" | ")[0].partition("  #")[0].partition(" > ")[0])
    name = next(name for name in sorted(VERBS, key=len, reverse=True) if words[: len(name.split())] == name.split())
    command = VERBS[name]
    # Paths of examples need not exist: only what there is of options and arguments is looked at.
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            monkeypatch.setattr(parameter.type, "exists", False)
    with click.Context(command) as context:
        command.parse_args(context, words[len(name.split()) :])


@pytest.mark.parametrize("name", VERBS)
def test_every_option_says_what_it_does(name: str) -> None:
    silent = [item.opts for item in VERBS[name].params if isinstance(item, click.Option) and not item.help]
    assert silent == []


def test_no_line_in_a_list_of_commands_is_cut() -> None:
    groups = [main, *(command for command in commands_of(main).values() if isinstance(command, click.Group))]
    lines = {
        f"{group.name} {name}": command.get_short_help_str(limit=62)
        for group in groups
        for name, command in commands_of(group).items()
    }
    assert {name: line for name, line in lines.items() if line.endswith("...")} == {}
