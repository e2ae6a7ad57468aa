"""`trivet data` on a whole server, its engine alone scripted: kept, rated, exported, asked, erased; after a kill."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.support.engine.training_base import make_base
from tests.support.gateway.serving import metrics, until
from trivet.api.v1 import inference_pb2
from trivet.cli.main import main
from trivet.cli.server.process import ServerProcess
from trivet.client import Client
from trivet.evaluation.suite import load_suite

pytestmark = pytest.mark.process
ROOT = Path(__file__).parents[3]
QUESTIONS = json.loads((ROOT / "evals/injections/questions.jsonl").read_text().splitlines()[0])


@contextmanager
def serving(folder: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(folder / "trivet.yaml", folder / "data", module=("tests.support.gateway.scripted_gateway",))
    with server:
        yield server


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    make_base(folder / "model")
    (folder / "prompts" / "p").mkdir(parents=True)
    (folder / "prompts" / "p" / "1.md").write_text("Answer the question. " * 8)
    (folder / "secret").write_text(base64.b64encode(os.urandom(32)).decode())
    keys = [
        {
            "name": f"{tenant}-{role}",
            "sha256": hashlib.sha256(f"{tenant}-{role}-key".encode()).hexdigest(),
            "tenant": tenant,
            "role": role,
        }
        for tenant in ("acme", "other")
        for role in ("client", "operator")
    ]
    stable = {"weight": 1, "backend": "local", "prompt": "p@1", "sampling": {"max_tokens": 8}}
    variants = {"stable": stable, "other": {**stable, "weight": 0}}
    (folder / "trivet.yaml").write_text(yaml.safe_dump({
        "version": 1,
        "keys": keys,
        "backends": {"local": {"kind": "embedded", "model": "model", "kv_cache_memory_bytes": 32 << 20}},
        "interactions": {"key_file": "secret"},
        "routes": {"ask": {"variants": variants, "interactions": {"share": 1.0}}, "quiet": {"variants": variants}},
    }))  # fmt: skip
    return folder


def ask(server: ServerProcess, tenant: str, text: str, unit: str, route: str = "ask") -> str:
    with Client(replace(server.target, key=f"{tenant}-client-key")) as client:
        message = inference_pb2.Message(role="user", content=text)
        asked = inference_pb2.GenerateRequest(route=route, messages=[message], unit_id=unit)
        return client.generate(asked).receipt.request_id


def rate(server: ServerProcess, tenant: str, request_id: str, **said: object) -> None:
    with Client(replace(server.target, key=f"{tenant}-client-key")) as client:
        client.submit_feedback(request_id, **said)  # type: ignore[arg-type]


def commands(folder: Path, server: ServerProcess) -> Callable[..., Result]:
    def run(*arguments: str, tenant: str = "acme", lines: str | None = None) -> Result:
        key = folder / f"{tenant}.key"
        key.write_text(f"{tenant}-operator-key")
        target = ("--admin-address", server.target.admin_address, "--key-file", str(key))
        result = CliRunner().invoke(main, ["data", *arguments, *target], input=lines, catch_exceptions=False)
        assert result.exit_code in (0, 1, 2), result.output
        return result

    return run


def rate_at_a_desk_that_is_killed(folder: Path, server: ServerProcess) -> None:
    """One of two answers is rated, then kill -9; the next desk shows the other one alone, which is corrected."""
    first = sit_down(folder, server)
    first.expect("nobody said anything of it")
    first.key("g")
    first.expect("before the kill")
    first.process.kill()
    first.process.wait()
    second = sit_down(folder, server)
    second.expect("before the kill")
    assert "nobody said" not in second.seen
    second.key("c")
    second.expect("it should be")
    os.write(second.descriptor, b"fixed\n")
    second.expect("1 rated")
    assert second.process.wait() == 0


@dataclass
class Terminal:
    """A command in a terminal of its own."""

    process: subprocess.Popen[bytes]
    descriptor: int
    seen: str = ""

    def key(self, key: str) -> None:
        while termios.tcgetattr(self.descriptor)[3] & termios.ICANON:
            time.sleep(0.01)  # what is typed before it asks for a key is lost
        os.write(self.descriptor, key.encode())

    def expect(self, text: str) -> None:
        while text not in self.seen:
            try:
                piece = os.read(self.descriptor, 4096)
            except OSError:
                raise AssertionError(f"the command has ended: {self.seen}") from None
            self.seen += piece.decode(errors="replace")


def sit_down(folder: Path, server: ServerProcess) -> Terminal:
    ours, theirs = pty.openpty()
    target = ("--address", server.target.address, "--admin-address", server.target.admin_address)
    command = [
        sys.executable,
        "-m",
        "trivet.cli",
        "data",
        "label",
        "--key-file",
        str(folder / "acme.key"),
        *target,
    ]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    return Terminal(process, ours)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_route_keeps_what_people_say_of_it_and_a_tenant_learns_from_its_own_alone(project: Path) -> None:
    with serving(project) as server:
        run = commands(project, server)
        good, bad, known = (
            ask(server, "acme", text, unit)
            for text, unit in (("I am jane@example.org", "u1"), ("What is two?", "u2"), (QUESTIONS["question"], "u3"))
        )
        ask(server, "acme", "nobody said anything of it", "u2")
        ask(server, "acme", "not kept", "u1", route="quiet")
        foreign = ask(server, "other", "a secret of another tenant", "u1")
        rate(server, "acme", good, score=1.0)
        rate(server, "acme", bad, score=0.0, corrected_text="Two.")
        rate(server, "acme", known, score=1.0)
        rate(server, "other", foreign, score=1.0)
        [count] = json.loads(run("stats", "--json").stdout)
        assert (count["route"], count["variant"], count["stored"], count["rated"], count["corrected"]) == (
            "ask",
            "stable",
            4,
            3,
            1,
        )
        assert "0.67" in run("stats").stdout
        until(lambda: metrics(server)['trivet_interactions_total{outcome="stored"}'] == 5)

        result = run("export", str(project / "chats"), "--held-out", "0", "--suite", str(ROOT / "evals/injections"))
        assert result.exit_code == 0, result.output
        chats = [row["messages"] for row in lines(project / "chats" / "train.jsonl")]
        assert chats == [
            [{"role": "user", "content": "What is two?"}, {"role": "assistant", "content": "Two."}],
            [{"role": "user", "content": "I am [email]"}, {"role": "assistant", "content": "one two three"}],
        ]
        assert "left out: 1 (an evaluation asks it)" in result.stderr
        sources = lines(project / "chats" / "sources.jsonl")
        assert [(row["request_id"], row["source"]) for row in sources] == [(bad, "corrected"), (good, "rated")]
        assert run("export", str(project / "chats")).exit_code == 1  # it is there

        pairs = json.loads(run("export", str(project / "pairs"), "--form", "pairs", "--held-out", "0", "--json").stdout)
        assert pairs["files"]["train.jsonl"]["lines"] == 1
        [pair] = lines(project / "pairs" / "train.jsonl")
        assert (pair["chosen"], pair["rejected"]) == (
            [{"role": "assistant", "content": "Two."}], [{"role": "assistant", "content": "one two three"}],
        )  # fmt: skip

        run("export", str(project / "raw"), "--form", "raw", tenant="other")
        [raw] = lines(project / "raw" / "interactions.jsonl")
        assert (raw["request_id"], raw["route"]) == (foreign, "ask")

        assert json.loads(run("erase", "--unit", "u1", "--json").stdout) == {"erased": 1}
        assert run("erase").exit_code == 2
        assert json.loads(run("erase", "--request", foreign, "--json").stdout) == {"erased": 0}  # another tenant's
        last = ask(server, "acme", "before the kill", "u4")
        assert json.loads(run("stats", "--json").stdout)[0]["stored"] == 4
        os.kill(server.pid, signal.SIGKILL)
        with suppress(Exception):
            server.wait()
    with serving(project) as server:
        run = commands(project, server)
        run("export", str(project / "after"), "--form", "raw")
        kept = [row["request_id"] for row in lines(project / "after" / "interactions.jsonl")]
        assert (kept[-1], len(kept), good in kept) == (last, 4, False)
        rate_at_a_desk_that_is_killed(project, server)
        assert [(count["rated"], count["corrected"]) for count in json.loads(run("stats", "--json").stdout)] == [(4, 2)]
        folder, config = project / "evals" / "ask", ("--config", str(project / "trivet.yaml"))
        wanted = ("--route", "ask", "--held-out", "1", "--not-in", str(project / "chats"))
        made = json.loads(run("suite", str(folder), *wanted, *config, "--json").stdout)
        assert made["left_out"] == {"its unit was trained on": 2}
        [new_one, known_one] = load_suite(folder / "suite.yaml").main.examples
        assert (known_one.question, known_one.answers) == (QUESTIONS["question"], ("one two three",))
        assert (new_one.question, new_one.answers) == ("before the kill", ("fixed",))
        again = json.loads(run("export", str(project / "again"), *config, "--held-out", "0", "--json").stdout)
        assert again["left_out"] == {"an evaluation asks it": 2}
        ratings = [{"request_id": last, "score": 1.0}, {"request_id": "never", "score": 1.0}]
        taken = run("label", "--json", "--address", server.target.address, lines="\n".join(map(json.dumps, ratings)))
        assert [json.loads(line)["recorded"] for line in taken.stdout.splitlines()] == [True, False]
        assert taken.exit_code == 1
        assert run("erase", "--all", "--yes").exit_code == 0
        assert "nothing is kept" in run("stats").stderr
    assert not any(b"a secret of another" in path.read_bytes() for path in (project / "data").glob("state.sqlite*"))
