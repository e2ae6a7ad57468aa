"""Prompt files: what is read, and what is refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.errors import ConfigError, NotFound
from trivet.prompts.template.library import PromptLibrary
from trivet.prompts.template.parser import read_prompt
from trivet.prompts.template.source import Placeholder, PromptSource, Turn, Variable
from trivet.types.variant import VersionRef

REF = VersionRef("support", "1")
DEMO = Path(__file__).parents[2] / "prompts"


def read(folder: Path, text: str | bytes) -> PromptSource:
    path = folder / "1.md"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_prompt(REF, path)


def test_a_whole_file(tmp_path: Path) -> None:
    source = read(
        tmp_path,
        """---
description: Answers.
passages_header: "From the handbook:"
variables:
  company:
    default: Velora
    description: who speaks
  tone:
---

You speak for {{ company }}, {{tone}}.

Use { "json": {"a": 1}} as it is.

<!-- user -->

Passages:
[1] One.

What?

<!--assistant-->
One
""",
    )
    assert source.turns == (
        Turn(
            "system",
            (
                "You speak for ",
                Placeholder("company"),
                ", ",
                Placeholder("tone"),
                '.\n\nUse { "json": {"a": 1}} as it is.',
            ),
        ),
        Turn("user", ("Passages:\n[1] One.\n\nWhat?",)),
        Turn("assistant", ("One",)),
    )
    assert source.variables == {"company": Variable("company", "Velora", "who speaks"), "tone": Variable("tone")}
    assert (source.description, source.passages_header) == ("Answers.", "From the handbook:")


@pytest.mark.parametrize(
    "text",
    [
        "Answer.",
        "Answer.\n",
        "<!-- system -->\nAnswer.",
        "\ufeffAnswer.\r\n",
        "---\n---\nAnswer.",
        "---\r\n---\r\nAnswer.",
    ],
)
def test_system_text_alone(tmp_path: Path, text: str) -> None:
    source = read(tmp_path, text)
    assert source.turns == (Turn("system", ("Answer.",)),)
    assert (source.variables, source.passages_header) == ({}, "Passages:")


def test_a_raw_prompt_has_system_text_or_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "---\nraw: true\n---\n") == PromptSource(REF, tmp_path / "1.md", (), raw=True)
    assert read(tmp_path, "---\nraw: true\n---\nOnce.").turns == (Turn("system", ("Once.",)),)
    assert not read(tmp_path, "---\nraw: false\n---\nOnce.").raw


def test_examples_alone(tmp_path: Path) -> None:
    source = read(tmp_path, "<!-- user -->\na\n<!-- assistant -->\nb")
    assert source.turns == (Turn("user", ("a",)), Turn("assistant", ("b",)))


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", [(1, "no text")]),
        ("\n \n", [(3, "no text")]),
        (b"Answer\nna\xefve", [(2, "byte 0xef, expected UTF-8")]),
        ("---\ndescription: x\nAnswer.", [(1, "does not end")]),
        ("---\nmodel: x\n---\nAnswer.", [(2, "unknown field 'model', expected one of description")]),
        ("---\ndescription: x\ndescription: y\n---\nA.", [(3, "'description' is given twice")]),
        ("---\ndescription: [x\n---\nA.", [(2, "expected YAML")]),
        ("---\n- x\n---\nA.", [(2, "not a mapping")]),
        ("---\ndescription: 1\n---\nA.", [(2, "description is not a string")]),
        ("---\npassages_header: ' '\n---\nA.", [(2, "expected one line")]),
        ("---\nraw: maybe\n---\nA.", [(2, "raw is no truth value")]),
        ("---\nraw: [true]\n---\nA.", [(2, "raw is no truth value")]),
        ("---\nraw: true\n---\nA.\n<!-- user -->\nb\n<!-- assistant -->\nc", [(6, "user text in a raw prompt")]),
        ("---\npassages_header: \"a\\nb\"\n---\nA.", [(2, "expected one line")]),
        ("---\nvariables:\n  a-b: {}\n---\nA.", [(3, "expected a name")]),
        ("---\nvariables:\n  a: {default: 1}\n---\n{{ a }}", [(3, "variables.a.default is not a string")]),
        ("---\nvariables:\n  a: {value: x}\n---\n{{ a }}", [(3, "'variables.a.value'")]),
        ("---\nvariables: [a]\n---\n{{ a }}", [(2, 'is not a mapping, expected `variables: {a: {default: "..."}}`')]),
        ("---\nvariables: {a: No}\n---\n{{ a }}", [(2, 'expected `variables: {a: {default: "No"}}`; without')]),
        ("---\nvariables: {a: [1]}\n---\n{{ a }}", [(2, "variables.a is not a mapping")]),
        ("---\nvariables:\n  a: {}\n---\nA.", [(3, "'a' is not used")]),
        ("A\n\nB {{ a }}\nC {{ b }}", [(3, "'a' is not declared"), (4, "'b' is not declared")]),
        ("A {{ a | upper }}", [(1, "expected {{ name }}")]),
        ("A\n{{ a", [(2, "expected {{ name }}")]),
        ("A {{}}", [(1, "expected {{ name }}")]),
        ("A\n<!-- usr -->\nB", [(2, "a comment, expected <!-- system -->")]),
        ("A\n<!-- why -->", [(2, "a comment")]),
        ("A\n<!-- system -->\nB", [(3, "expected it once and first")]),
        ("<!-- user -->\nB\n<!-- assistant -->\nC\n<!-- system -->\nD", [(6, "expected it once and first")]),
        ("A\n<!-- assistant -->\nB", [(3, "expected <!-- user --> here")]),
        ("A\n<!-- user -->\nB\n<!-- user -->\nC\n<!-- assistant -->\nD", [(5, "expected <!-- assistant --> here")]),
        ("A\n<!-- user -->\nB", [(3, "user text without answer")]),
        ("A\n<!-- user -->\n<!-- assistant -->\nB", [(3, "the user section is empty")]),
    ],
)  # fmt: skip
def test_problems_are_named_with_their_line(tmp_path: Path, text: str | bytes, problems: list[tuple[int, str]]) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, text)
    assert len(refused.value.problems) == len(problems)
    for said, (line, what) in zip(refused.value.problems, problems, strict=True):
        assert said.startswith(f"{tmp_path / '1.md'}:{line}: ")
        assert what in said
        assert "expected" in said


def test_the_library_holds_every_version(tmp_path: Path) -> None:
    for name in ("a/1.md", "a/2.md", "b/2026-01.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "README.md").write_text("About this folder.")
    (tmp_path / "a" / ".1.md.swp").write_text("x")
    library = PromptLibrary.load(tmp_path)
    assert library.refs == (VersionRef("a", "1"), VersionRef("a", "2"), VersionRef("b", "2026-01"))
    (tmp_path / "a/2.md").write_text("edited later")
    assert library.get(VersionRef("a", "2")).turns == (Turn("system", ("a/2.md",)),)
    with pytest.raises(NotFound, match=r"a@3; known: a@1, a@2, b@2026-01"):
        library.get(VersionRef("a", "3"))


def test_the_library_reports_every_problem_of_every_file_and_ignores_strays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    strays = ["a/2.bak", "a/2.md~", "a/notes.txt", "b c", "c/deeper", "stray.md"]
    for name in ("a/1.md", "a/notes.txt", "a/2.bak", "a/2.md~", "a/.DS_Store", "b c/1.md", "c/1.md", "c/README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "stray.md").write_text("x")
    (tmp_path / "c" / "deeper").mkdir()
    with pytest.raises(ConfigError) as refused:
        PromptLibrary.load(tmp_path)
    files = [line.split(":")[0].removeprefix(f"{tmp_path}/") for line in refused.value.problems]
    assert sorted(files) == ["a/1.md", "c/1.md"]
    told = [record.getMessage() for record in caplog.records]
    assert sorted(line.partition(" is ignored")[0].removeprefix(f"{tmp_path}/") for line in told) == strays


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        PromptLibrary.load(tmp_path / "none")


def test_the_prompts_of_the_demo_can_be_read() -> None:
    library = PromptLibrary.load(DEMO)
    assert {"support@1", "support-json@1", "tickets@1"} <= {str(ref) for ref in library.refs}


def answers(name: str) -> list[str]:
    source = PromptLibrary.load(DEMO).get(VersionRef(name, "1"))
    return ["".join(map(str, turn.pieces)) for turn in source.turns if turn.role == "assistant"]


def test_the_examples_of_the_demo_keep_their_own_rules() -> None:
    assert set(answers("tickets")) <= {"billing", "login", "delivery", "bug", "feature", "cancel"}
