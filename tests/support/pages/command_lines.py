"""Shell commands as documents write them, and whether the `trivet` among them could be given so."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

import click

from trivet.cli.main import main

_HERE_DOCUMENT = re.compile(r"<<-?'?(\w+)'?.*?\n.*?^\1$", re.DOTALL | re.MULTILINE)


def commands_of(group: click.Group) -> dict[str, click.Command]:
    """Its commands by name, in the order of its help."""
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def commands(text: str) -> Iterator[list[str]]:
    """The words of each simple command: pipelines and lists taken apart; redirections and here-documents left out."""
    text = _HERE_DOCUMENT.sub("", text.replace("\\\n", " "))
    for line in text.split("\n"):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in lexer:
            if word and set(word) <= set("|&;"):
                yield from _simple(words)
                words = []
            else:
                words.append(word)
        yield from _simple(words)


def _simple(words: Sequence[str]) -> Iterator[list[str]]:
    kept: list[str] = []
    skip = False
    for word in words:
        if skip or set(word) <= set("<>&"):
            skip = not skip
        elif kept or not re.fullmatch(r"\w+=.*|do|then|sudo", word):
            kept.append(word)
    if kept:
        yield kept


def is_trivet(words: Sequence[str]) -> bool:
    """Whether the command is ours."""
    return words[0] in ("trivet", ".venv/bin/trivet")


def problem(words: Sequence[str], *, whole: bool = True) -> str:
    """Why `trivet` would not take these words; empty if it would. Not `whole`: arguments may be missing."""
    command: click.Command = main
    context = click.Context(main, info_name="trivet")
    rest = list(words[1:])
    while isinstance(command, click.Group):
        if command.invoke_without_command and not (rest and rest[0] in command.list_commands(context)):
            break  # it does something without a verb of its own
        if not rest or rest[0] in ("-h", "--help", "--version"):
            return "" if rest or not whole else "a verb is missing"
        found = command.get_command(context, rest[0])
        if found is None:
            return f"no verb {rest[0]!r}"
        context = click.Context(found, info_name=rest.pop(0), parent=context)
        command = found
    if "--help" in rest:
        return ""
    try:
        given, left, _ = command.make_parser(context).parse_args(rest)
        if left:
            return f"too many arguments: {left}"
        for parameter in command.params:
            value = given.get(parameter.name or "")
            if whole and parameter.required and not (isinstance(value, str | tuple | list) and value):
                return f"{parameter.human_readable_name} is missing"
            if isinstance(value, str) and not isinstance(parameter.type, click.Path | click.File):
                parameter.type(value, parameter, context)
    except click.UsageError as error:
        return error.format_message()
    return ""
