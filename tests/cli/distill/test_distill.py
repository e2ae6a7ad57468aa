"""`trivet distill`: what is learned, what is refused, when a student is accepted; and the whole of it with answers made
up and a real, tiny training."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.support.engine.training_base import make_base, write_lines
from tests.support.evaluation_suites import write_suite
from trivet.api.v1 import inference_pb2, interaction_pb2
from trivet.cli.data.suites import Asked
from trivet.cli.distill.comparison import savings
from trivet.cli.distill.questions import logged
from trivet.cli.distill.recipe import STUDENT
from trivet.cli.distill.teaching import Lesson, fails, filtered
from trivet.cli.evaluation.run import Evaluation
from trivet.cli.main import main
from trivet.evaluation.data import Example
from trivet.evaluation.outcomes import Outcome
from trivet.evaluation.reply import Form, ReplyReader

LABELS = ("odd", "even")
ARMS = {
    "long": {"prompt": "long@1"},
    "bare": {"prompt": "short@1"},
    "rag": {"prompt": "long@1", "retrieval": {"index": "facts"}},
}
LONG = "Say whether the number is odd or even, with one word alone, and nothing else at all, please."


def right(question: str) -> str:
    return LABELS[int(question.split()[-1]) % 2 == 0]


class Answering:
    """Stands in for the server: the teacher is right but for numbers that 7 divides, the student as often, the bare
    model never. After `most` answers somebody presses Ctrl-C."""

    def __init__(self, most: int | None = None) -> None:
        self.asked: Counter[str] = Counter()
        self.most = most

    def generate(self, request: inference_pb2.GenerateRequest, /) -> inference_pb2.GenerateResponse:
        if self.most is not None and self.asked.total() == self.most:
            raise KeyboardInterrupt
        arm = request.route.removeprefix("eval-")
        self.asked[arm] += 1
        question = request.messages[0].content
        number = int(question.split()[-1])
        text = "no idea" if arm == "bare" or number % 7 == 0 else right(question)
        response = inference_pb2.GenerateResponse(text=text)
        response.receipt.prompt = "long@1" if arm == "long" else "short@1"
        response.receipt.adapter = "parity@1" if arm == STUDENT else ""
        response.receipt.input_tokens = 100 if arm == "long" else 20
        response.receipt.cached_tokens = 0
        response.receipt.output_tokens = 1
        response.receipt.cost.total = 2000 if arm == "long" else 400
        return response


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("distill") / "base")


def write_project(folder: Path, base: Path, **changes: Any) -> Path:
    """A configuration, a suite of 60 questions, a recipe and 140 questions of which 20 are the suite's."""
    for name, text in (("long", LONG), ("short", "Which?")):
        (folder / "prompts" / name).mkdir(parents=True)
        (folder / "prompts" / name / "1.md").write_text(text + "\n")
    (folder / "adapters").mkdir()
    (folder / "facts" / "corpus").mkdir(parents=True)
    (folder / "facts" / "index.yaml").write_text("version: 1\n")
    (folder / "facts" / "corpus" / "a.md").write_text("# A\n\nNothing.\n")
    variant = {"weight": 1, "backend": "local", "prompt": "long@1"}
    (folder / "trivet.yaml").write_text(
        yaml.safe_dump(
            {
                "version": 1,
                "server": {"data_dir": str(folder / "data")},
                "backends": {"local": {"kind": "embedded", "model": str(base)}},
                "indexes": {"facts": "facts"},
                "adapters": ["adapters"],
                "routes": {"parity": {"variants": {"v": variant}}},
            }
        )
    )
    asked = [{"question": f"Number {n}", "label": right(f"Number {n}")} for n in range(60)]
    arms = {"arms": ARMS, "labels": list(LABELS), "baseline": "bare", "correct": ["label_accuracy", "format_valid"]}
    write_suite(folder / "suite", asked, **arms)
    write_lines(folder / "questions.jsonl", [{"question": f"number  {n}"} for n in range(40, 180)])
    content = {
        "name": "parity",
        "version": "1",
        "suite": "suite",
        "teacher": "long",
        "prompt": "short@1",
        "questions": {"files": ["questions.jsonl"]},
        "held_out": 0.03,
        "base": {"path": str(base), "name": "tiny"},
        "training": {"rank": 2, "alpha": 4, "steps": 3, "warm_up": 1, "batch_tokens": 256},
        "accept": {"saving": 0.7},
        **changes,
    }
    path = folder / "distill.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def distill(path: Path, *arguments: str) -> Result:
    config = ("--config", str(path.parent / "trivet.yaml"))
    return CliRunner().invoke(main, ["distill", str(path), *config, "--concurrency", "1", *arguments])


def serve(monkeypatch: pytest.MonkeyPatch, answering: Answering) -> None:
    @contextmanager
    def server(*_: object) -> Iterator[Answering]:
        yield answering

    monkeypatch.setattr(Evaluation, "server", server)


@pytest.mark.process
def test_a_student_is_trained_and_compared_and_it_goes_on_where_it_was(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_project(tmp_path, base, failures=3)
    serve(monkeypatch, stopped := Answering(most=50))
    result = distill(path)
    assert result.exit_code == 1
    assert "stopped: answers and the last checkpoint of parity@1 are kept" in result.output
    serve(monkeypatch, answering := Answering())
    result = distill(path, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    # 20 of the questions are the suite's, and of the other 120 the teacher has those wrong in form that 7 divides
    assert told["taught"]["left_out"] == {
        "questions": {"an evaluation asks it": 20},
        "answers": {"format_valid does not hold": 17},
    }
    assert told["taught"]["kept"] == 103
    assert stopped.asked["long"] == 50
    assert answering.asked == {"long": 70 + 60, "bare": 103 + 60, STUDENT: 60}
    chats = tmp_path / "data" / "distillations" / "parity@1" / "chats"
    lines = [json.loads(line) for name in ("train", "held-out") for line in (chats / f"{name}.jsonl").open()]
    assert len(lines) == 103
    assert all(line["messages"][0] == {"role": "system", "content": "Which?"} for line in lines)
    assert all(line["messages"][2]["content"] == right(line["messages"][1]["content"]) for line in lines)
    assert {line.get("weight") for line in lines} == {3}  # the bare model is never right
    provenance = json.loads((tmp_path / "adapters" / "parity" / "1" / "distillation.json").read_text())
    assert provenance["teacher"]["name"] == "long"
    assert told["accepted"]
    tokens = told["savings"][0]
    assert (tokens["teacher"], tokens["student"], round(tokens["share"], 6)) == (100, 20, 0.8)
    serve(monkeypatch, again := Answering(most=0))
    assert distill(path).exit_code == 0  # nothing is asked and nothing trained again
    assert not again.asked


@pytest.mark.process
def test_a_student_that_saves_too_little_is_not_accepted(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, Answering())
    result = distill(write_project(tmp_path, base, accept={"saving": 0.85}))
    assert result.exit_code == 1
    assert "FAILS  input tokens down by 85% at least: 80.0% [80.0, 80.0]" in result.output
    assert "holds  at most 3 points lost against long" in result.output
    assert "parity@1 is not accepted in place of long" in result.output


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"teacher": "rag"}, r"teacher: 'rag' reads documents, whose facts change"),
        ({"teacher": "none"}, r"teacher: the suite has no arm 'none'; known: long, bare, rag"),
        ({"questions": {}}, r"questions: has neither files nor log"),
        ({"questions": {"files": ["no.jsonl"]}}, r"questions.files: .*no.jsonl is not a file"),
        ({"training": {"objective": "dpo"}}, r"training.objective: is dpo, expected sft"),
        ({"training": {"start": "x"}}, r"training.start: .*x/adapter_config.json is not a file"),
        ({"replay": ["no.jsonl"]}, r"replay: .*no.jsonl is not a file"),
        ({"accept": {"saving": 1.0}}, r"accept.saving"),
        ({"suite": "nowhere"}, r"suite: .*nowhere is not a file"),
    ],
)
def test_a_recipe_that_is_wrong_is_refused_before_anything_is_asked(
    base: Path, tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    result = distill(write_project(tmp_path, base, **change))
    assert result.exit_code == 2
    assert re.search(told, result.output), result.output


def test_answers_that_are_wrong_cut_off_or_empty_are_left_out() -> None:
    reader = ReplyReader(Form(labels=LABELS))
    given = {
        "known and right": ("odd", "", "stop", "odd"),
        "known and wrong": ("even", "", "stop", "odd"),
        "not known, of the form": ("even", "", "stop", None),
        "not known, of no form": ("it is even", "", "stop", None),
        "cut off": ("odd", "", "length", None),
        "empty": ("  ", "", "stop", None),
        "failed": ("", "INVALID_ARGUMENT: no", "", None),
    }
    examples = [Example(name, name, label=label) for name, (*_, label) in given.items()]
    outcomes = [Outcome("d", "t", name, text, error, finish=end) for name, (text, error, end, _) in given.items()]
    left_out: Counter[str] = Counter()
    kept = list(filtered(examples, outcomes, reader, ["label_accuracy", "format_valid"], left_out))
    assert [lesson.example.id for lesson in kept] == ["known and right", "not known, of the form"]
    assert left_out == {
        "label_accuracy does not hold": 1,
        "format_valid does not hold": 1,
        "it was cut off": 1,
        "it is empty": 1,
        "the request failed": 1,
    }


@pytest.mark.parametrize(
    ("label", "taught", "given", "failed"),
    [
        (None, "odd", "odd", False),
        (None, "odd", "even", True),
        (None, "odd", "it is odd", True),
        ("even", "odd", "even", False),  # the truth goes before the teacher
        ("even", "odd", "odd", True),
    ],
)
def test_the_baseline_fails_where_it_says_something_else(
    label: str | None, taught: str, given: str, failed: bool
) -> None:
    form = Form(labels=LABELS)
    lesson = Lesson(Example("1", "q", label=label), taught, True)
    assert fails(lesson, Outcome("d", "bare", "1", given), form, ReplyReader(form)) is failed


def test_questions_of_the_log_come_with_what_was_corrected() -> None:
    def one(text: str, **fields: Any) -> interaction_pb2.Interaction:
        message = inference_pb2.Message(role="user", content=text)
        return interaction_pb2.Interaction(request_id=text, messages=[message], **fields)

    corrected = interaction_pb2.Rating(corrected_text="Odd")
    found = [
        one("a"),
        one("b", rating=corrected),
        one("c", unit="held out"),
        one("d", variables={"x": "y"}),
        interaction_pb2.Interaction(messages=[inference_pb2.Message(role="user")] * 2),
    ]
    left_out: Counter[str] = Counter()
    taken = Asked(frozenset(), frozenset({"held out"}), ())
    examples = list(logged(found, Form(labels=LABELS), taken, left_out))
    assert [(each.question, each.label) for each in examples] == [("a", None), ("b", "odd")]
    assert left_out.total() == 3


def test_a_saving_is_of_the_questions_that_both_answered() -> None:
    def made(arm: str, example: str, tokens: int, error: str = "") -> Outcome:
        return Outcome("d", arm, example, "x", error, input_tokens=tokens, cached_tokens=0)

    outcomes = [made("long", "1", 100), made(STUDENT, "1", 30), made("long", "2", 100), made(STUDENT, "2", 10)]
    outcomes += [made("long", "3", 900), made(STUDENT, "3", 900, error="no")]
    tokens, uncached, *others = savings(outcomes, "long")
    assert tokens.share == pytest.approx(0.8)
    assert tokens.interval is not None
    assert (tokens.interval.low, tokens.interval.high) == pytest.approx((0.7, 0.9))
    assert uncached.share == tokens.share
    assert all(other.share is None for other in others)
