"""What the configuration says of chat templates reaches what prompts are made with, or is refused with its place."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.engine.training_base import make_base
from trivet.app.prompts import ServedPrompts, prompt_problems
from trivet.config import Config, load_config
from trivet.errors import ConfigError
from trivet.types.request import Message
from trivet.types.variant import VersionRef

TEMPLATE = """{% if mood == 'bad' %}{{ raise_exception('no such mood') }}{% endif %}
{%- for m in messages %}{{ '<' + m.role + '>' + m.content + '</s>' }}{% endfor %}
{{- '<s>assistant, ' ~ (mood or 'calm') ~ ', ' ~ strftime_now('%Y-%m-%d') ~ ': ' }}"""
PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


class Files:
    """A configuration of one route in a folder."""

    def __init__(self, folder: Path) -> None:
        make_base(folder / "model")
        self.folder = folder
        self.backend: dict[str, Any] = {"kind": "embedded", "model": "model", "chat_template": "chat.jinja"}
        self.variant: dict[str, Any] = {"weight": 1, "backend": "local", "prompt": "p@1"}
        self.route: dict[str, Any] = {"variants": {"v": self.variant}}
        self.template(TEMPLATE)
        self.prompt("Answer.")

    def template(self, text: str) -> None:
        (self.folder / "chat.jinja").write_text(text)

    def prompt(self, text: str, version: str = "1") -> None:
        path = self.folder / "prompts" / "p" / f"{version}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def read(self) -> Config:
        data = {"version": 1, "backends": {"local": self.backend}, "routes": {"ask": self.route}}
        path = self.folder / "trivet.yaml"
        path.write_text(yaml.safe_dump(data))
        return load_config(path)

    def told(self) -> str:
        """The end of a prompt: what comes after the question."""
        config = self.read()
        assembler = ServedPrompts.of(config).assemblers["local", VersionRef("p", "1")]
        variables = config.routes["ask"].variants["v"].template_variables
        made = assembler.assemble(
            [Message("user", "Hi")], context_tokens=10_000, max_tokens=1, template_variables=variables
        )
        return str(assembler._tokenizer.text._full.decode(list(made.token_ids))).split("Hi")[-1]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_variables_of_a_prompt_and_of_a_variant(files: Files) -> None:
    files.backend["template_date"] = "2025-12-24"
    assert files.told().endswith("assistant, calm, 2025-12-24: ")
    files.prompt("---\ntemplate_variables:\n  mood: merry\n---\nAnswer.")
    assert files.told().endswith("assistant, merry, 2025-12-24: ")
    files.variant["template_variables"] = {"mood": "stern"}
    assert files.told().endswith("assistant, stern, 2025-12-24: ")


def test_variables_that_the_template_refuses_are_a_problem_of_the_configuration(files: Files) -> None:
    files.variant["template_variables"] = {"mood": "bad"}
    with pytest.raises(ConfigError, match="no such mood"):
        ServedPrompts.of(files.read())
    assert any("no such mood" in problem for problem in prompt_problems(files.read()))
    files.variant.pop("template_variables")
    files.prompt("---\ntemplate_variables: {mood: bad}\n---\nAnswer.")
    with pytest.raises(ConfigError, match="no such mood"):
        ServedPrompts.of(files.read())


def test_turns_that_a_user_can_forge_have_to_be_allowed(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    files.template(PLAIN)
    with pytest.raises(ConfigError, match="allow_plain_roles: true"):
        ServedPrompts.of(files.read())
    files.backend["allow_plain_roles"] = True
    with caplog.at_level(logging.WARNING):
        assert files.told() == "\nassistant:"
    assert "can pretend to be another turn" in caplog.text


def test_a_raw_prompt_needs_no_chat_template_and_is_all_of_its_route(files: Files) -> None:
    del files.backend["chat_template"]
    (files.folder / "model" / "chat_template.jinja").unlink(missing_ok=True)
    files.prompt("---\nraw: true\n---\n")
    served = ServedPrompts.of(files.read())
    made = served.assemblers["local", VersionRef("p", "1")].assemble(
        [Message("user", "Hi")], context_tokens=100, max_tokens=1
    )
    assert 1 <= len(made.token_ids) <= 3
    assert prompt_problems(files.read()) == []
    files.template(TEMPLATE)
    files.backend["chat_template"] = "chat.jinja"
    files.prompt("Answer.", "2")
    files.route["variants"]["w"] = {**files.variant, "prompt": "p@2"}
    told = "raw, and others of route ask's prompts are not"
    with pytest.raises(ConfigError, match=told):
        ServedPrompts.of(files.read())
    assert any(told in problem for problem in prompt_problems(files.read()))


@pytest.mark.parametrize(
    ("section", "fields", "told"),
    [
        ("backend", {"template_date": "today"}, "expected a date"),
        ("backend", {"template_date": "2025-02-30"}, "template_date"),
        ("variant", {"template_variables": {"messages": 1}}, "the template's own"),
        ("variant", {"template_variables": {"bos_token": "x"}}, "the template's own"),
        ("variant", {"template_variables": {"a b": 1}}, "letters, digits and underscores"),
        ("route", {"allow": ["everything"]}, "allow"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(files: Files, section: str, fields: dict[str, Any], told: str) -> None:
    getattr(files, section).update(fields)
    with pytest.raises(ConfigError, match=told):
        files.read()


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ("template_variables: [x]", "template_variables is not a mapping"),
        ("template_variables: {tools: 1}", "the template's own"),
        ("template_variables: {x: 2025-01-01}", "a value that JSON knows"),
        ("template_variables: {x: .nan}", "a value that JSON knows"),
    ],
)
def test_variables_of_a_prompt_are_checked_too(files: Files, head: str, told: str) -> None:
    files.prompt(f"---\n{head}\n---\nAnswer.")
    with pytest.raises(ConfigError, match=told):
        ServedPrompts.of(files.read())


def test_the_route_says_what_requests_may_ask_for(files: Files) -> None:
    assert files.read().routes["ask"].allow == frozenset()
    files.route["allow"] = ["tools", "top_p"]
    assert files.read().routes["ask"].allow == {"tools", "top_p"}
