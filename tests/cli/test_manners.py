"""How commands speak: whole tables, errors as JSON, hints that fit, what was done before an interruption."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from trivet.api.v1 import admin_pb2, admin_pb2_grpc, inference_pb2, inference_pb2_grpc
from trivet.cli.index import command as index_command
from trivet.cli.main import main

NOBODY = "127.0.0.1:1"
NAMES = ("a-rather-long-name-of-an-adapter@2026-11-28.1", "a-rather-long-name-of-an-adapter@2026-11-28.2")


class Admin(admin_pb2_grpc.AdminServicer):
    """`routes`: their names, each with two variants of which the second is not ready."""

    def __init__(self) -> None:
        self.routes = ["support"]

    def ListRoutes(self, request: Any, context: Any) -> Any:
        return admin_pb2.ListRoutesResponse(routes=[self.route(name) for name in self.routes])

    def ListAdapters(self, request: Any, context: Any) -> Any:
        adapters = [admin_pb2.Adapter(name=name, engine_name=f"{name}#0123456789ab") for name in NAMES]
        return admin_pb2.ListAdaptersResponse(adapters=adapters)

    def ListIndexes(self, request: Any, context: Any) -> Any:
        return admin_pb2.ListIndexesResponse(indexes=[admin_pb2.Index(name="handbook", documents=1200)])

    def UpsertDocuments(self, requests: Any, context: Any) -> Any:
        for request in requests:
            yield admin_pb2.UpsertDocumentsResponse(id=request.document.id, revision=1, passages=1)

    def route(self, name: str) -> Any:
        variants = [
            admin_pb2.WeightedVariant(
                variant=admin_pb2.Variant(name=key, backend="local", prompt="p@1"), weight=weight, ready=key == "a"
            )
            for key, weight in (("a", 3.0), ("b", 1.0))
        ]
        return admin_pb2.Route(name=name, variants=variants)


class Inference(inference_pb2_grpc.InferenceServicer):
    def Generate(self, request: Any, context: Any) -> Any:
        return inference_pb2.GenerateResponse(text=request.route)

    def GetReceipt(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.NOT_FOUND, "no such receipt")


class Stand:
    """A server that answers from `admin`; `run` calls it."""

    def __init__(self, address: str, admin: Admin, checks: health.HealthServicer) -> None:
        self.address, self.admin, self._checks = address, admin, checks

    def serving(self, yes: bool) -> None:
        status = health_pb2.HealthCheckResponse
        self._checks.set("", status.SERVING if yes else status.NOT_SERVING)

    def run(self, *arguments: str) -> Result:
        environment = {"TRIVET_ADDRESS": self.address, "TRIVET_ADMIN_ADDRESS": self.address, "COLUMNS": "40"}
        return CliRunner(env=environment).invoke(main, arguments)


@pytest.fixture
def stand() -> Iterator[Stand]:
    server = grpc.server(ThreadPoolExecutor(4))
    admin, checks = Admin(), health.HealthServicer()
    admin_pb2_grpc.add_AdminServicer_to_server(admin, server)  # type: ignore[no-untyped-call,unused-ignore]
    inference_pb2_grpc.add_InferenceServicer_to_server(Inference(), server)  # type: ignore[no-untyped-call,unused-ignore]
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield Stand(f"127.0.0.1:{port}", admin, checks)
    server.stop(None)


def nowhere(*arguments: str) -> Result:
    return CliRunner(env={"TRIVET_ADDRESS": NOBODY, "TRIVET_ADMIN_ADDRESS": NOBODY}).invoke(main, arguments)


def test_a_table_that_is_no_terminals_is_never_cut(stand: Stand) -> None:
    lines = stand.run("adapter", "ls").stdout.splitlines()
    assert len(lines) == 3
    assert [line.split()[0] for line in lines[1:]] == list(NAMES)
    assert [line.split()[-1] for line in lines[1:]] == [f"{name}#0123456789ab" for name in NAMES]


def test_routes_with_shares_and_readiness(stand: Stand) -> None:
    lines = [line.split() for line in stand.run("route", "ls").stdout.splitlines()]
    assert lines[1:] == [
        ["support", "a", "75.0%", "yes", "local", "p@1"],
        ["support", "b", "25.0%", "no", "local", "p@1"],
    ]
    assert json.loads(stand.run("route", "ls", "--json").stdout)[0]["variants"][1]["ready"] is False


def test_status_says_what_is_not_ready_by_its_exit_code_too(stand: Stand) -> None:
    stand.serving(True)
    result = stand.run("status")
    assert result.exit_code == 1
    assert "1 of 2 ready; not ready: support/b" in result.stdout
    assert "1,200 documents" in result.stdout
    stand.serving(False)
    result = stand.run("status", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"serving": False, "routes": [], "adapters": [], "indexes": []}


def test_ask_takes_the_only_route_and_otherwise_names_them(stand: Stand) -> None:
    assert json.loads(stand.run("ask", "hello", "--json").stdout)["text"] == "support"
    stand.admin.routes = ["support", "tickets"]
    result = stand.run("ask", "hello")
    assert result.exit_code == 2
    assert "name a route with --route; the server has: support, tickets" in result.stderr
    assert json.loads(stand.run("ask", "hello", "--route", "tickets", "--json").stdout)["text"] == "tickets"


def test_errors_of_json_commands_are_json(stand: Stand, tmp_path: Path) -> None:
    result = stand.run("receipt", "x", "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert json.loads(result.stderr)["error"] == {"code": "NOT_FOUND", "reason": "", "message": "no such receipt"}
    usage = stand.run("ask", "hello", "--top-k", "0", "--json")
    assert usage.exit_code == 2
    assert json.loads(usage.stderr)["error"]["reason"] == "USAGE"
    (tmp_path / "trivet.yaml").write_text("speed: 9\n")
    refused = stand.run("adapter", "check", str(tmp_path), "--json", "--config", str(tmp_path / "trivet.yaml"))
    told = json.loads(refused.stderr)["error"]
    assert (refused.exit_code, told["reason"]) == (1, "CONFIG_INVALID")
    assert any("speed: unknown field" in problem for problem in told["problems"])
    unreached = json.loads(nowhere("reload", "--json").stderr)["error"]
    assert unreached["code"] == "UNAVAILABLE"
    assert "--admin-address" in unreached["hint"]


def test_a_code_is_not_told_twice(stand: Stand) -> None:
    assert stand.run("receipt", "x").stderr == "error: no such receipt (NOT_FOUND)\n"


@pytest.mark.parametrize(
    ("arguments", "option", "other"),
    [
        (["reload"], "--admin-address", "--address"),
        (["adapter", "ls"], "--admin-address", "--address"),
        (["index", "ls"], "--admin-address", "--address"),
        (["index", "search", "handbook", "x"], "--address", "--admin-address"),
        (["receipt", "x"], "--address", "--admin-address"),
    ],
)
def test_a_hint_names_the_option_that_the_command_has(arguments: list[str], option: str, other: str) -> None:
    result = nowhere(*arguments)
    assert result.exit_code == 1
    assert f"or name it with {option}." in result.stderr
    refused = nowhere(*arguments, other, NOBODY)
    assert refused.exit_code == 2
    assert f"Did you mean '{option}'?" in refused.stderr


@pytest.mark.parametrize("command", [["index", "build", "handbook"], ["index", "add", "handbook", "FILE"]])
def test_nothing_empty_is_written_where_there_is_no_terminal(stand: Stand, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "a.md").write_text("text")
    result = stand.run(*[str(tmp_path / "a.md") if word == "FILE" else word for word in command])
    assert all(line.strip() for line in result.stderr.splitlines())


def test_an_interrupted_upload_says_what_is_stored(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        (tmp_path / f"{name}.md").write_text("text")

    class Bar:
        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def track(self, answers: Any, **_: Any) -> Any:
            for count, answer in enumerate(answers):
                if count == 2:
                    raise KeyboardInterrupt
                yield answer

    monkeypatch.setattr(index_command, "_bar", Bar)
    result = stand.run("index", "add", "handbook", *map(str, sorted(tmp_path.glob("*.md"))))
    assert result.exit_code == 1
    assert "stopped: 2 of 3 documents are stored and can be found. The same command" in result.stderr
    assert "Aborted" not in result.stderr


def test_help_onto_a_full_disk_is_one_line() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("click.decorators.echo", _full_disk)
        result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert "Traceback" not in result.output


def _full_disk(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")
