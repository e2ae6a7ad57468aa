"""`trivet prompt compile`: with DSPy's and GEPA's own searches, and a stand-in for the server that follows a prompt
only where it has what a search should find."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.support.evaluation_suites import SCHEMA, write_suite
from trivet.api.v1 import inference_pb2
from trivet.cli.evaluation.config import Derived
from trivet.cli.evaluation.run import Evaluation
from trivet.cli.main import main
from trivet.cli.prompt.compile.candidate import can_stand, read_candidate
from trivet.cli.prompt.compile.instructions import fits
from trivet.cli.prompt.compile.material import right_answer
from trivet.cli.prompt.compile.versions import next_version, publish
from trivet.errors import ConfigError, FailedPrecondition
from trivet.evaluation.data import Example
from trivet.evaluation.reply import Form
from trivet.prompts.template.library import PromptLibrary
from trivet.types.variant import VersionRef

LABELS = ("odd", "even")
MODEL = Path(__file__).parents[3] / "models" / "demo" / "weights"
TURNS = ("Hi", "Hello", "Bye", "Go")
BETTER = "Say odd or even. Think of the last digit, {{ name }}."


def right(question: str) -> str:
    return LABELS[int(question.split()[-1]) % 2 == 0]


class Following:
    """Right where the prompt shows examples of both labels, or tells of the last digit; else half right."""

    def __init__(self, derived: Derived) -> None:
        self.folder = derived.path.parent
        self.asked: Counter[str] = Counter()
        self.reflected: list[str] = []
        self.reloads = 0

    def reload_routes(self) -> None:
        self.reloads += 1

    def generate(self, request: inference_pb2.GenerateRequest, /) -> inference_pb2.GenerateResponse:
        routes = yaml.safe_load((self.folder / "trivet.yaml").read_text())["routes"]
        [variant] = routes[request.route]["variants"].values()
        text = (self.folder / "prompts" / variant["prompt"].replace("@", "/")).with_suffix(".md").read_text()
        question = request.messages[0].content
        if request.route == "eval-reflection":
            self.reflected.append(question)
            return inference_pb2.GenerateResponse(text=f"```\n{BETTER}\n```")
        self.asked[request.route] += 1
        knows = "last digit" in text or all(f"<!-- assistant -->\n{label}" in text for label in LABELS)
        response = inference_pb2.GenerateResponse(text=right(question) if knows else "odd")
        response.receipt.prompt = variant["prompt"]
        response.receipt.input_tokens = len(text.split())
        response.receipt.cached_tokens = 0
        return response


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "prompts" / "parity"
    folder.mkdir(parents=True)
    head = "---\ndescription: Parity.\nvariables:\n  name: {default: friend}\n---\n"
    (folder / "1.md").write_text(f"{head}Say odd or even, {{{{ name }}}}.\n")
    backends = {name: {"kind": "embedded", "model": str(MODEL), "enable_lora": False} for name in ("local", "wise")}
    variant = {"weight": 1, "backend": "local", "prompt": "parity@1"}
    (tmp_path / "trivet.yaml").write_text(
        yaml.safe_dump(
            {
                "version": 1,
                "server": {"data_dir": str(tmp_path / "data")},
                "backends": backends,
                "routes": {"parity": {"variants": {"v": variant}}},
            }
        )
    )
    arms = {"plain": {"prompt": "parity@1", "backend": "local"}, "other": {"prompt": "parity@1", "backend": "wise"}}
    lines = [{"question": f"Number {n}", "label": right(f"Number {n}")} for n in range(40)]
    write_suite(tmp_path / "suite", lines, arms=arms, labels=list(LABELS), correct=["label_accuracy", "format_valid"])
    more = [{"question": f"Number {n}", "label": right(f"Number {n}")} for n in range(30, 80)]
    (tmp_path / "more.jsonl").write_text("".join(json.dumps(line) + "\n" for line in more))
    return tmp_path


def compile_prompt(project: Path, *arguments: str) -> Result:
    words = ["prompt", "compile", str(project / "suite"), "--data", str(project / "more.jsonl")]
    return CliRunner().invoke(
        main, [*words, "--config", str(project / "trivet.yaml"), "--concurrency", "2", *arguments]
    )


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> list[Following]:
    started: list[Following] = []

    @contextmanager
    def server(_: Evaluation, derived: Derived, *__: object) -> Iterator[Following]:
        started.append(Following(derived))
        yield started[-1]

    monkeypatch.setattr(Evaluation, "server", server)
    return started


@pytest.mark.process
def test_worked_examples_are_found_judged_and_written_as_the_next_version(
    project: Path, servers: list[Following]
) -> None:
    result = compile_prompt(project, "--shots", "4", "--candidates", "3", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["written"] == "parity@2"
    assert told["data"]["left_out"] == {"an evaluation asks it": 10}
    assert told["correct"]["current"]["value"] == 0.5
    assert told["correct"]["compiled"]["value"] == 1.0
    assert told["difference"]["low"] > 0
    library = PromptLibrary.load(project / "prompts")
    made = library.get(VersionRef("parity", "2"))
    assert made.variables["name"].default == "friend"
    assert {"".join(map(str, turn.pieces)) for turn in made.turns if turn.role == "assistant"} == set(LABELS)
    asked = {"".join(map(str, turn.pieces)) for turn in made.turns if turn.role == "user"}
    assert asked <= {f"Number {n}" for n in range(40, 80)}  # nothing that the suite asks is shown
    provenance = json.loads((project / "prompts" / "parity" / "2.provenance.json").read_text())
    assert provenance["compiled_from"] == "parity@1"
    assert set(provenance["libraries"]) == {"dspy"}
    assert provenance["models"]["local"] == provenance["models"]["local"].lower()
    before = sum(one.asked.total() for one in servers)
    again = compile_prompt(project, "--shots", "4", "--candidates", "3", "--json")
    assert json.loads(again.stdout)["written"] == "parity@3"
    assert sum(one.asked.total() for one in servers) == before  # all answers were kept
    assert (project / "prompts" / "parity" / "1.md").read_text().endswith("Say odd or even, {{ name }}.\n")


@pytest.mark.process
def test_instructions_are_rewritten_by_a_backend_that_reflects(project: Path, servers: list[Following]) -> None:
    result = compile_prompt(project, "--shots", "0", "--reflect", "wise", "--calls", "80", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["correct"]["compiled"]["value"] == 1.0
    assert BETTER in told["text"]
    assert set(told["libraries"]) == {"gepa"}
    assert "wrong; a right answer: even" in servers[0].reflected[0]
    assert PromptLibrary.load(project / "prompts").get(VersionRef("parity", "2")).turns[0].role == "system"


@pytest.mark.process
def test_nothing_is_written_where_nothing_is_better(project: Path, servers: list[Following]) -> None:
    (project / "more.jsonl").write_text(
        "".join(json.dumps({"question": f"Number {n}", "label": "odd"}) + "\n" for n in range(41, 81, 2))
    )
    result = compile_prompt(project, "--candidates", "2")
    assert result.exit_code == 1
    assert "nothing better than parity@1 was found on 10 questions" in result.output
    assert [path.name for path in (project / "prompts" / "parity").iterdir()] == ["1.md"]


@pytest.mark.parametrize(
    ("arguments", "told", "code"),
    [
        (("--shots", "0"), "--shots 0 without --reflect leaves nothing to search", 2),
        (("--arm", "none"), "arms: no arm 'none'; known: plain, other", 1),
        (("--reflect", "none"), "backends: no 'none'; known: local, wise", 1),
    ],
)
def test_what_cannot_be_searched_is_refused(project: Path, arguments: tuple[str, ...], told: str, code: int) -> None:
    result = compile_prompt(project, *arguments)
    assert result.exit_code == code
    assert told in result.output


def test_a_prompt_is_read_and_written_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "1.md"
    shots = "".join(f"\n<!-- {role} -->\n{text}\n" for role, text in zip(("user", "assistant") * 2, TURNS, strict=True))
    text = f"---\nvariables:\n  a: {{}}\n---\nBe {{{{ a }}}}.\n{shots}"
    path.write_text(text)
    found = read_candidate(VersionRef("p", "1"), path)
    assert found.shots == (("Hi", "Hello"), ("Bye", "Go"))
    assert found.text == text
    path.write_text("---\nraw: true\n---\nx\n")
    with pytest.raises(ConfigError, match="raw"):
        read_candidate(VersionRef("p", "1"), path)


@pytest.mark.parametrize("text", ["", "  \n", "a {{ b }}", "a\n <!-- user -->\nb", "{{"])
def test_what_a_prompt_file_would_take_for_more_than_text_is_no_example(text: str) -> None:
    assert not can_stand("question", text)
    assert can_stand("a } b", "c")


def test_instructions_keep_the_variables(tmp_path: Path) -> None:
    path = tmp_path / "1.md"
    path.write_text("---\nvariables:\n  a: {}\n---\nBe {{ a }}.\n")
    start = read_candidate(VersionRef("p", "1"), path)
    assert fits(start, "{{a}}, be good")
    for text in ("be good", "{{ a }} {{ b }}", "{{ a }} {{", "{{ a }}\n<!-- user -->", ""):
        assert not fits(start, text)


def test_a_right_answer_has_the_suites_form() -> None:
    form = Form(SCHEMA, "answer", "found", ("unknown",))
    known, none = Example("1", "q", ("7 hours", "7 h")), Example("2", "q", ())
    assert right_answer(known, form) == '{"answer":"7 hours","found":true}'
    assert right_answer(none, form) == '{"answer":"","found":false}'
    assert right_answer(none, Form(unknown=("I do not know.",))) == "I do not know."
    assert right_answer(Example("3", "q"), form) is None
    assert right_answer(Example("4", "q", label="odd"), Form(labels=LABELS)) == "odd"


def test_versions_are_never_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    for name in ("1.md", "9.md", "draft.md", "10.provenance.json"):
        (folder / name).write_text("Text.\n")
    assert next_version(folder) == "10"
    assert publish(folder, "More.\n", {"a": 1}) == VersionRef("p", "10")
    assert publish(folder, "More.\n", {"a": 1}) == VersionRef("p", "11")
    with pytest.raises(ConfigError):
        publish(folder, "{{ nobody }}\n", {})
    assert next_version(folder) == "12"
    assert not list(folder.glob(".*"))


def test_of_two_compilations_at_once_the_later_one_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    link = os.link

    def late(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        assert publish(folder, "Earlier.\n", {"by": "earlier"}) == VersionRef("p", "1")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(FailedPrecondition, match="p@1 was written by somebody else meanwhile"):
        publish(folder, "Later.\n", {"by": "later"})
    assert (folder / "1.md").read_text() == "Earlier.\n"
    assert json.loads((folder / "1.provenance.json").read_text()) == {"by": "earlier"}
    assert len(list(folder.iterdir())) == 2
