"""The command line: help with examples, exit codes, messages, JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from tests.support.pages.command_lines import commands_of
from trivet.api.v1 import admin_pb2, inference_pb2, receipt_pb2
from trivet.cli.console.output import plain, print_table
from trivet.cli.index.documents import Given, read_documents, survey
from trivet.cli.main import VERBS, main

ROOT = Path(__file__).parents[2]
NOBODY = "127.0.0.1:1"


def run(*arguments: str) -> Result:
    return CliRunner(env={"TRIVET_ADDRESS": NOBODY, "TRIVET_ADMIN_ADDRESS": NOBODY}).invoke(main, arguments)


def commands() -> list[list[str]]:
    found: list[list[str]] = [[]]
    for name, command in commands_of(main).items():
        found.append([name])
        if isinstance(command, click.Group):
            found += [[name, inner] for inner in commands_of(command)]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_explains_itself(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert "Examples:" in result.output


def test_every_command_is_called_as_it_is_named() -> None:
    assert {name: command.name for name, command in commands_of(main).items()} == {name: name for name in VERBS}


@pytest.mark.process
@pytest.mark.parametrize("command", ["ask", "status", "receipt", "route ls", "feedback"])
def test_a_call_to_a_server_imports_neither_the_schema_nor_numpy(command: str) -> None:
    called = f"main({[*command.split(), '--help']}, standalone_mode=False)"
    told = f"""
import sys
from trivet.cli.main import main
{called}
print(sorted({{"pydantic", "numpy"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [["ask"], ["nope"], ["ask", "x", "--top-k", "0"], ["ask", "x", "--var", "y"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_no_server_there_is_exit_code_1_and_says_what_to_do() -> None:
    result = run("ask", "hello")
    assert result.exit_code == 1
    assert "UNAVAILABLE" in result.output
    assert "trivet serve" in result.output
    assert "Traceback" not in result.output


def test_a_refused_configuration_is_told_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "trivet.yaml"
    path.write_text("version: 1\nspeed: 9\n")
    result = run("serve", "--config", str(path))
    assert result.exit_code == 1
    assert f"{path}:2: speed: unknown field" in result.output
    assert f"{path}:1: routes: required field is missing" in result.output


def test_an_unknown_variable_of_the_environment_is_refused() -> None:
    result = CliRunner(env={"TRIVET_ADRESS": "x"}).invoke(main, ["ask", "hello"])
    assert result.exit_code == 1
    assert "TRIVET_ADRESS: unknown variable, did you mean TRIVET_ADDRESS?" in result.output


def test_the_demos_adapters_pass_their_check() -> None:
    for name in ("json-answer", "ticket-sorter"):
        folder = ROOT / "adapters" / name / "1"
        result = run("adapter", "check", str(folder), "--config", str(ROOT / "trivet.yaml"), "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.output)["name"] == f"{name}@1"


def test_a_bad_adapter_is_told_what_is_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "broken" / "1"
    folder.mkdir(parents=True)
    (folder / "adapter_model.bin").write_bytes(b"x")
    result = run("adapter", "check", str(folder), "--config", str(ROOT / "trivet.yaml"))
    assert result.exit_code == 1
    assert "there is adapter_model.bin: it is a pickle" in " ".join(result.output.split())


def test_documents_get_their_stems_as_ids(tmp_path: Path) -> None:
    for name in ("a.md", "b.html"):
        (tmp_path / name).write_text("text")
    given = Given(tags=("t",), tenant="acme", valid_until=1.5)
    documents = list(read_documents([tmp_path / "a.md", tmp_path / "b.html"], given))
    assert [(item.id, item.source, list(item.tags), item.tenant) for item in documents] == [
        ("a", "a.md", ["t"], "acme"),
        ("b", "b.html", ["t"], "acme"),
    ]
    assert documents[0].valid_until.ToNanoseconds() == 1_500_000_000
    assert not documents[0].HasField("valid_from")
    (tmp_path / "notes").write_text("text")
    with pytest.raises(click.UsageError, match="expected one of the endings"):
        survey([tmp_path / "notes"], Given())
    (notes,) = read_documents([tmp_path / "notes"], Given(format="text", title="N"))
    assert (notes.format, notes.title) == (admin_pb2.DOCUMENT_FORMAT_TEXT, "N")


def test_lines_are_documents_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_text(
        '{"id": "a", "text": "x", "tags": ["s"], "tenant": "bolt"}\n'
        '{"id": "b", "text": "y", "valid_from": "1970-01-01T00:00:02Z"}\n'
    )
    one, two = read_documents([path], Given(tags=("t",), tenant="acme", valid_from=1.0))
    assert (one.id, one.tenant, list(one.tags), one.valid_from.seconds) == ("a", "bolt", ["s", "t"], 1)
    assert (two.id, two.tenant, list(two.tags), two.valid_from.seconds) == ("b", "acme", ["t"], 2)
    with pytest.raises(click.UsageError, match="--title names one document"):
        survey([path], Given(title="T"))
    path.write_text('{"id": "a", "text": "x"}\n{"id": "b"}\n')
    with pytest.raises(click.UsageError, match=r"facts\.jsonl:2: expected exactly one of"):
        survey([path], Given())


def test_an_id_met_twice_is_refused_naming_both_files(tmp_path: Path) -> None:
    for name in ("a.md", "a.txt"):
        (tmp_path / name).write_text("text")
    with pytest.raises(click.UsageError, match=r"'a' .*a\.md and .*a\.txt"):
        survey([tmp_path / "a.md", tmp_path / "a.txt"], Given())
    with pytest.raises(click.UsageError, match="--id names one document"):
        survey([tmp_path / "a.md", tmp_path / "a.txt"], Given(document_id="x"))


def test_a_time_without_zone_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("text")
    result = run("index", "add", "handbook", str(tmp_path / "a.md"), "--valid-until", "2026-01-01")
    assert result.exit_code == 2
    assert "expected a time like" in result.output


def test_a_table_shows_brackets_and_colons_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("document",), [["C [v2] :smile: [/x]"]])
    assert "C [v2] :smile: [/x]" in capsys.readouterr().out


def test_json_keeps_numbers_leaves_out_the_unknown_and_names_enums() -> None:
    receipt = receipt_pb2.Receipt(output_tokens=3, cost=receipt_pb2.Cost(total=2**40))
    receipt.created_at.FromSeconds(0)
    data = plain(
        inference_pb2.GenerateResponse(text="x", finish_reason=receipt_pb2.FINISH_REASON_STOP, receipt=receipt)
    )
    assert data["finish_reason"] == "stop"
    assert data["receipt"]["cost"] == {"total": 2**40, "basis": ""}
    assert data["receipt"]["output_tokens"] == 3
    assert "input_tokens" not in data["receipt"]
    assert data["receipt"]["created_at"] == "1970-01-01T00:00:00Z"
    adapter = plain(admin_pb2.Adapter(state=admin_pb2.ADAPTER_STATE_READY, tier=admin_pb2.ADAPTER_TIER_DISK))
    assert (adapter["state"], adapter["tier"], adapter["routes"]) == ("ready", "disk", [])
