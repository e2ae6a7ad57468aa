"""`trivet data weigh`: chats that a prompt answers wrongly get more weight, with a stand-in for the server."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from click.testing import CliRunner, Result

from tests.support.evaluation_suites import SCHEMA, write_suite
from trivet.api.v1 import inference_pb2
from trivet.cli.data.weighing.failures import example_of
from trivet.cli.evaluation.run import Evaluation
from trivet.cli.main import main
from trivet.client import CallFailed
from trivet.evaluation.reply import Form
from trivet.training.files.chat_files import LocatedChat, read_chats

MODEL = Path(__file__).parents[3] / "models" / "demo" / "weights"
LABELS = ("odd", "even")


def right(number: int) -> str:
    return LABELS[number % 2 == 0]


def chat(number: int, *before: dict[str, Any], **fields: Any) -> dict[str, Any]:
    asked = {"role": "user", "content": f"Number {number}"}
    return {"messages": [*before, asked, {"role": "assistant", "content": right(number)}], **fields}


class Refused:
    """As a stub raises it."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.INVALID_ARGUMENT

    def details(self) -> str:
        return "too long"

    def trailing_metadata(self) -> tuple[()]:
        return ()


class Answering:
    """Always says "odd". After `most` answers somebody presses Ctrl-C; `refused` are not answered."""

    def __init__(self, most: int | None = None, refused: Sequence[int] = ()) -> None:
        self.asked: Counter[str] = Counter()
        self.most = most
        self.refused = [f"Number {number}" for number in refused]

    def generate(self, request: inference_pb2.GenerateRequest, /) -> inference_pb2.GenerateResponse:
        if self.most is not None and self.asked.total() == self.most:
            raise KeyboardInterrupt
        question = request.messages[-1].content
        self.asked[question] += 1
        if question in self.refused:
            raise CallFailed(Refused())
        response = inference_pb2.GenerateResponse(text="odd")
        response.receipt.prompt = "parity@1"
        return response


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A configuration and a suite that asks for the numbers 0 to 3."""
    (tmp_path / "prompts" / "parity").mkdir(parents=True)
    (tmp_path / "prompts" / "parity" / "1.md").write_text("Say odd or even.\n")
    (tmp_path / "trivet.yaml").write_text(yaml.safe_dump({
        "version": 1,
        "server": {"data_dir": str(tmp_path / "data")},
        "backends": {"local": {"kind": "embedded", "model": str(MODEL)}},
        "routes": {"parity": {"variants": {"v": {"weight": 1, "backend": "local", "prompt": "parity@1"}}}},
    }))  # fmt: skip
    asked = [{"question": f"Number {number}", "label": right(number)} for number in range(4)]
    arms = {"prompt": {"prompt": "parity@1"}, "schemaless": {"prompt": "parity@1", "reasoning": {"samples": 3}}}
    write_suite(
        tmp_path / "suite", asked, arms=arms, labels=list(LABELS), baseline="prompt",
        correct=["label_accuracy", "format_valid"],
    )  # fmt: skip
    return tmp_path


def weigh(project: Path, chats: Sequence[dict[str, Any]], *arguments: str) -> Result:
    path = project / "chats.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in chats))
    given = ["--chats", str(path), "--suite", str(project / "suite"), "--config", str(project / "trivet.yaml")]
    return CliRunner().invoke(main, ["data", "weigh", str(project / "out"), *given, "--concurrency", "1", *arguments])


def serve(monkeypatch: pytest.MonkeyPatch, answering: Answering) -> None:
    @contextmanager
    def server(*_: object) -> Iterator[Answering]:
        yield answering

    monkeypatch.setattr(Evaluation, "server", server)


def weights(project: Path) -> dict[str, int]:
    """By what is asked last, as training reads them."""
    found = read_chats([project / "out" / "train.jsonl"]).chats
    return {one.chat[-2]["content"]: one.weight for one in found}


def test_what_the_arm_gets_wrong_weighs_more(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Answering())
    system = {"role": "system", "content": "Which?"}
    chats = [chat(10), chat(11, system), chat(12, weight=40), chat(13, weight=2), chat(14, document="a")]
    result = weigh(project, chats)
    assert result.exit_code == 0, result.output
    assert weights(project) == {"Number 10": 3, "Number 11": 1, "Number 12": 100, "Number 13": 2, "Number 14": 3}
    assert "3 of 5 answers of prompt were wrong: weight 3" in result.output
    written = read_chats([project / "out" / "train.jsonl"]).chats
    assert written[1].chat[0] == system
    assert written[4].documents == ("a",)
    assert "weigh the same" not in result.output


def test_an_arm_that_is_always_wrong_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Answering())
    assert "all chats weigh the same, expected an arm" in weigh(project, [chat(10), chat(12)]).output


def test_what_an_evaluation_asks_is_left_out_and_what_cannot_be_judged_stays(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, answering := Answering(refused=[20]))
    other = {"messages": [{"role": "user", "content": "Well?"}, {"role": "assistant", "content": "neither"}]}
    result = weigh(project, [chat(1), chat(20), chat(22), other], "--failures", "5", "--json")
    assert result.exit_code == 0, result.output
    assert weights(project) == {"Number 20": 1, "Number 22": 5, "Well?": 1}
    made = json.loads(result.stdout)
    assert made["left_out"] == {"an evaluation asks it": 1}
    assert made["not_judged"] == {"its last message is not in the suite's form": 1, "the request failed": 1}
    assert (made["judged"], made["wrong"]) == (1, 1)
    assert made["arm"]["prompt"] == "parity@1"
    assert set(answering.asked) == {"Number 20", "Number 22"}


def test_interrupted_it_asks_the_rest(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chats = [chat(number) for number in range(10, 20)]
    serve(monkeypatch, stopped := Answering(most=4))
    assert weigh(project, chats).exit_code != 0
    assert not (project / "out").exists()
    serve(monkeypatch, answering := Answering())
    assert weigh(project, chats).exit_code == 0
    assert not stopped.asked.keys() & answering.asked.keys()
    assert len(weights(project)) == 10


@pytest.mark.parametrize(("arguments", "said"), [
    (["--arm", "promt"], "no arm 'promt'; known: prompt, schemaless"),
    (["--failures", "1"], "1 is not in the range 2<=x<=100"),
])  # fmt: skip
def test_wrong_wishes_are_refused_before_anything_is_asked(
    project: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    serve(monkeypatch, answering := Answering())
    result = weigh(project, [chat(10)], *arguments)
    assert result.exit_code != 0
    assert said in result.output
    assert not answering.asked


def test_nothing_to_judge_is_said(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Answering(refused=[10]))
    assert "no chat can be judged by the suite suite (1: an evaluation asks it)" in weigh(project, [chat(1)]).output
    assert "no answer could be judged by the suite suite: INVALID_ARGUMENT" in weigh(project, [chat(10)]).output
    (project / "out").mkdir()
    assert "out is there already" in weigh(project, [chat(10)]).output


def located(*turns: tuple[str, str], shown: Sequence[int] = ()) -> LocatedChat:
    chat: list[Any] = [
        {"role": role, "content": content, **({"learned": False} if at in shown else {})}
        for at, (role, content) in enumerate(turns)
    ]
    return LocatedChat(Path("chats.jsonl"), 1, chat)


def test_earlier_turns_are_asked_and_worked_examples_are_not() -> None:
    turns = [("system", "s"), ("user", "q1"), ("assistant", "a1"), ("user", "q2"), ("assistant", "a2")]
    found = example_of(located(*turns), Form())
    assert not isinstance(found, str)
    assert (found.earlier, found.question, found.answers) == (("q1", "a1"), "q2", ("a2",))
    found = example_of(located(*turns, shown=[2]), Form())
    assert not isinstance(found, str)
    assert (found.earlier, found.question) == ((), "q2")


def test_a_right_answer_is_read_in_the_suites_form() -> None:
    form = Form(SCHEMA, "answer", "found", ("I do not know.",))
    known = example_of(located(("user", "q"), ("assistant", '{"answer": "7", "found": true}')), form)
    unknown = example_of(located(("user", "q"), ("assistant", '{"answer": "", "found": false}')), form)
    assert not isinstance(known, str)
    assert not isinstance(unknown, str)
    assert (known.answers, unknown.answers) == (("7",), ())
    assert example_of(located(("user", "q"), ("assistant", "7")), form) == "its last message is not in the suite's form"
    shown = located(("user", "q"), ("assistant", "7"), shown=[1])
    assert example_of(shown, Form()) == "its last message is only shown"
    odd = located(("user", "a"), ("user", "b"), ("assistant", "7"))
    assert example_of(odd, Form()) == "it is not a question, or several and their answers in turn"
