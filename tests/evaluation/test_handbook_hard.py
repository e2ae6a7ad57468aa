"""What a machine can tell of the hand-written questions: answers stand in the passages that they name, and are new."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.evidence.real import CHATS, HELD_OUT
from trivet.evaluation.data import Example
from trivet.evaluation.reply import ReplyReader, normalised
from trivet.evaluation.suite import Suite, load_suite
from trivet.retrieval.corpus.files import FoundDocument, documents_of_file
from trivet.retrieval.passages.parsing import read

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "evals" / "handbook-hard"
CORPUS = ROOT / "indexes" / "handbook" / "corpus"
COUNTS = {"fact": 92, "two": 44, "compare": 38, "none": 40}
_NAMES = re.compile(r"\b[A-Z][a-z]+(?: [A-Z][a-z]+)*")
_OPTIONS = re.compile(r", (.+) or (.+)\?$")
Passages = Sequence[Mapping[str, str]]


@pytest.fixture(scope="module")
def suite() -> Suite:
    return load_suite(FOLDER / "suite.yaml")


@pytest.fixture(scope="module")
def evidence() -> dict[str, Passages]:
    lines = [json.loads(line) for line in (FOLDER / "evidence.jsonl").read_text().splitlines()]
    assert len({line["id"] for line in lines}) == len(lines)
    return {line["id"]: line["passages"] for line in lines}


@pytest.fixture(scope="module")
def paragraphs() -> dict[str, list[str]]:
    """The handbook's paragraphs, as an index reads them, by document."""
    found: dict[str, list[str]] = {}
    for path in sorted(file for file in CORPUS.rglob("*") if file.is_file()):
        for one in documents_of_file(path, path.relative_to(CORPUS)):
            assert isinstance(one, FoundDocument)
            sections = read(one.document.content.decode(), one.document.format).sections
            found[one.document.id] = [
                " ".join(paragraph.split()) for section in sections for paragraph in section.text.split("\n\n")
            ]
    return found


def kind(example: Example) -> str:
    return example.id.partition("-")[0]


def test_there_are_as_many_of_each_kind_as_is_said_and_the_first_are_mixed(suite: Suite) -> None:
    examples = suite.main.examples
    assert Counter(map(kind, examples)) == COUNTS
    for first in (20, 50, 100):
        share = {name: count * first / len(examples) for name, count in COUNTS.items()}
        found = Counter(kind(example) for example in examples[:first])
        assert all(abs(found[name] - share[name]) <= 3 for name in COUNTS), (first, found)


def test_each_answer_stands_in_a_passage_that_it_rests_on(
    suite: Suite, evidence: dict[str, Passages], paragraphs: dict[str, list[str]]
) -> None:
    assert {example.id for example in suite.main.examples if example.answers} == set(evidence)
    for example in suite.main.examples:
        for passage in evidence.get(example.id, ()):
            holding = [text for text in paragraphs[passage["document"]] if passage["text"] in text]
            assert len(holding) == 1, (example.id, passage)
        if example.answers:
            told = " ".join(passage["text"] for passage in evidence[example.id]).casefold()
            assert example.answers[0].casefold() in told, example.id
            assert set(example.documents) == {passage["document"] for passage in evidence[example.id]}, example.id


def test_what_needs_two_passages_cannot_be_told_from_one(
    suite: Suite, evidence: dict[str, Passages], paragraphs: dict[str, list[str]]
) -> None:
    for example in suite.main.examples:
        if kind(example) not in ("two", "compare"):
            continue
        texts = [passage["text"] for passage in evidence[example.id]]
        assert len(texts) == len(set(texts)) == 2, example.id
        together = [text for document in paragraphs.values() for text in document if all(one in text for one in texts)]
        assert not together, example.id


def test_a_comparison_names_both_things_and_the_right_one_is_not_always_the_first(suite: Suite) -> None:
    firsts = []
    for example in suite.main.examples:
        if kind(example) == "compare":
            options = _OPTIONS.search(example.question)
            assert options is not None, example.question
            assert example.answers
            place = [bare(option) for option in options.groups()]
            assert any(bare(answer) in option for answer in example.answers for option in place), example.question
            firsts.append(any(bare(answer) in place[0] for answer in example.answers))
    assert 0.35 < sum(firsts) / len(firsts) < 0.65


def bare(text: str) -> str:
    return normalised(text).removeprefix("the ").removeprefix("a ").removeprefix("an ")


def test_what_has_no_answer_names_no_passage_and_no_value(suite: Suite, evidence: dict[str, Passages]) -> None:
    nothing = [example for example in suite.main.examples if kind(example) == "none"]
    assert all(example.answers == () and not example.documents for example in nothing)
    assert not {example.id for example in nothing} & set(evidence)


def test_nothing_is_asked_twice_nor_by_another_suite_nor_in_training(suite: Suite) -> None:
    asked = [words(example.question) for example in suite.main.examples]
    assert len(set(asked)) == len(asked)
    elsewhere = {words(text) for text in other_questions()}
    assert len(elsewhere) > 1000
    assert not set(asked) & elsewhere


def test_examples_in_prompts_and_training_tell_of_nothing_in_the_handbook(paragraphs: dict[str, list[str]]) -> None:
    """Neither prompts nor the words that training chats are made of know the handbook's names."""
    text = " ".join(paragraph for document in paragraphs.values() for paragraph in document)
    products = {
        "Orlo",
        "Pebrin",
        "Talvex",
        "Dorwin",
        "Fennar",
        "Mirrel",
        "Quenta",
        "Sorvik",
        "Brask",
        "Haldo",
        "Nimbra",
    }
    products |= {
        "Cavrel",
        "Ondra",
        "Ruvo",
        "Jorvan",
        "Weksel",
        "Gravo",
        "Ellurn",
        "Halm",
        "Oriel",
        "Zorelink",
        "Brindle",
    }
    assert all(name in text for name in products)
    files = [*FOLDER.glob("prompts/*/*.md"), *(ROOT / "models" / "demo").glob("*.yaml")]
    assert len(files) > 7
    for path in files:
        assert not products & set(_NAMES.findall(path.read_text())), path


@pytest.mark.process
def test_no_chat_that_the_adapter_learns_from_asks_a_question_of_the_suite(suite: Suite, tmp_path: Path) -> None:
    chats = [sys.executable, str(ROOT / "models" / "demo" / "chats.py"), "json-answer"]
    subprocess.run([*chats, "--count", str(CHATS), "--held-out", str(HELD_OUT), "--to", str(tmp_path)], check=True)
    told = [line for path in sorted(tmp_path.glob("*.jsonl")) for line in path.read_text().splitlines()]
    assert len(told) == CHATS + HELD_OUT
    asked = {words(example.question) for example in suite.main.examples}
    for line in told:
        for message in json.loads(line)["messages"]:
            assert not asked & {words(part) for part in message["content"].split("\n")}
            assert "Veskara" not in message["content"]


def test_every_accepted_answer_is_right_in_the_form_and_a_refusal_is_one(suite: Suite) -> None:
    reader = ReplyReader(suite.form)
    for example in suite.main.examples:
        for answer in example.answers or ():
            reply = reader.read(json.dumps({"answer": answer, "found": True}))
            assert (reply.valid, reply.unknown, reply.value) == (True, False, answer)
    assert reader.read('{"answer":"","found":false}').unknown


@pytest.mark.parametrize(
    ("answer", "valid"),
    [
        ('{"value":"0.4 watts","reply":"The lamp takes 0.4 watts."}', True),
        ('{"value":"","reply":"I regret that our handbook does not say."}', True),
        ('{"value":"0.4 watts","reply":"I regret that our handbook does not say."}', False),
        ('{"value":"","reply":"I do not know."}', False),
        ('{"value":"0.4 watts","reply":"Hello. It takes 0.4 watts."}', False),
        ('{"value":"0.4 watts","reply":"It takes 0.4 watts!"}', False),
        ('{"value":"0.4 watts","reply":"it takes 0.4 watts."}', False),
        ("The lamp takes 0.4 watts.", False),
    ],
)
def test_the_desk_wants_one_formal_sentence_or_the_refusal(answer: str, valid: bool) -> None:
    desk = load_suite(FOLDER.parent / "handbook-desk" / "suite.yaml")
    assert ReplyReader(desk.form).read(answer).valid is valid


def words(question: str) -> str:
    return " ".join(re.findall(r"\w+", question.casefold()))


def other_questions() -> Iterator[str]:
    """Of the other suites, of the demo, and examples in prompts."""
    files = [*ROOT.glob("evals/*/*.jsonl"), *ROOT.glob("indexes/*/*.jsonl"), *ROOT.glob("models/demo/*.jsonl")]
    for path in files:
        if path.parent != FOLDER:
            for line in path.read_text().splitlines():
                found: dict[str, Any] = json.loads(line)
                yield found["question"]
    for prompt in [*ROOT.glob("prompts/*/*.md"), *ROOT.glob("evals/*/prompts/*/*.md")]:
        yield from re.split(r"\n+", prompt.read_text())
