"""`suite.yaml` and its data are refused whole, with file, line and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.evaluation_suites import SCHEMA, make_suite, write_suite
from trivet.errors import ConfigError
from trivet.evaluation.data import read_examples
from trivet.evaluation.suite import Suite, load_suite

ROOT = Path(__file__).parents[2]
LINES: list[dict[str, Any]] = [
    {"question": "Weight?", "answer": "410 grams", "document": "hub"},
    {"question": "Colour?", "answer": None},
]


def problems(folder: Path, **changes: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        load_suite(write_suite(folder, LINES, **changes))
    return str(refused.value)


def test_a_suite_is_read(tmp_path: Path) -> None:
    arms = {"plain": {"prompt": "answers@1"}, "rag": {"prompt": "answers@1", "json_schema": "both", "adapter": "x@2"}}
    general = {"data": "questions.jsonl", "prompt": "terse@1", "margin": 3, "correct": ["exact_match", "says_unknown"]}
    suite = make_suite(tmp_path, LINES, json_schema=SCHEMA, arms=arms, general=general)
    assert [arm.name for arm in suite.main.arms] == ["plain", "rag", "rag+schema"]
    assert [arm.constrained for arm in suite.main.arms] == [False, False, True]
    assert suite.general is not None
    assert [(arm.name, arm.adapter) for arm in suite.general.arms] == [
        ("general/base", None),
        ("general/x@2", "x@2"),
    ]
    assert [arm.route for arm in suite.arms] == [
        "eval-plain", "eval-rag", "eval-rag-schema", "eval-general-base", "eval-general-x-2",
    ]  # fmt: skip
    assert suite.main.examples[0].documents == ("hub",)
    assert suite.main.examples[1].answers == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"speed": 1}, "suite.yaml:16: speed: unknown field"),
        ({"baseline": "nope"}, "baseline: no arm 'nope'; known: plain, rag"),
        ({"correct": ["token_f1"]}, "correct.0: expected 'exact_match'"),
        ({"correct": ["exact_match"]}, "correct: nothing judges 1 of the data's lines: 2"),
        ({"correct": ["label_accuracy"]}, "correct.0: label_accuracy applies to no line of the data"),
        ({"json_schema": {"type": "strange"}}, "json_schema: not a JSON schema: 'strange' is not valid"),
        ({"arms": {"plain": {"prompt": "answers"}, "rag": {"prompt": "a@1"}}}, "suite.yaml:11: arms.plain.prompt"),
        (
            {"arms": {"plain": {"prompt": "a@1", "json_schema": "with"}, "rag": {"prompt": "a@1"}}},
            "arms.plain.json_schema: the suite has no json_schema",
        ),
        (
            {"arms": {"plain": {"prompt": "a@1"}, "a+b": {"prompt": "a@1"}, "a-b": {"prompt": "a@1"}}},
            "arms.a-b: has the same route as 'a+b', eval-a-b",
        ),
        (
            {
                "arms": {
                    "plain": {"prompt": "a@1"},
                    "s": {"prompt": "a@1", "stuffed": "facts", "retrieval": {"index": "facts"}},
                }
            },
            "arms.s.stuffed: beside retrieval",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    assert said in problems(tmp_path, **changes)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path = write_suite(tmp_path, LINES, baseline="nope")
    (tmp_path / "questions.jsonl").write_text('{"question": ""}\nno json\n{"question": "?", "anwser": "x"}\n')
    with pytest.raises(ConfigError) as refused:
        load_suite(path)
    data = tmp_path / "questions.jsonl"
    assert str(refused.value).splitlines() == [
        f"{path}:8: baseline: no arm 'nope'; known: plain, rag",
        f"{data}:1: question: string should have at least 1 character",
        f"{data}:2: (line): not valid JSON: Expecting value: line 1 column 1 (char 0)",
        f"{data}:3: anwser: unknown field",
    ]


def test_an_id_given_twice_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"question": "a", "id": "2"}\n{"question": "b"}\n')
    with pytest.raises(ConfigError, match=r"data\.jsonl:2: id: '2' is an earlier line's already"):
        read_examples(path)
    path.write_text("\n")
    with pytest.raises(ConfigError, match="expected at least one question"):
        read_examples(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_examples(tmp_path / "none.jsonl")


def test_earlier_turns_are_read_and_asked_with(tmp_path: Path) -> None:
    suites: list[Suite] = []
    for earlier in ([], ["It is red.", "Well."], ["It is blue.", "Well."]):
        line = {"question": "Why?", "answer": "x", "earlier": earlier}
        suites.append(make_suite(tmp_path / str(len(suites)), [line], correct=["exact_match"]))
    assert [suite.main.examples[0].earlier for suite in suites][1] == ("It is red.", "Well.")
    without = make_suite(tmp_path / "none", [{"question": "Why?", "answer": "x"}], correct=["exact_match"])
    digests = [suite.digest({}) for suite in (*suites, without)]
    assert len(set(digests)) == 3
    assert digests[0] == digests[3]
    path = tmp_path / "odd.jsonl"
    path.write_text('{"question": "Why?", "earlier": ["It is red."]}\n')
    with pytest.raises(ConfigError, match=r"odd\.jsonl:1: earlier: .*odd number of turns"):
        read_examples(path)


def test_the_digest_follows_what_is_asked_and_not_what_is_judged(tmp_path: Path) -> None:
    first = make_suite(tmp_path / "a", LINES).digest({"model": "1"})
    assert first == make_suite(tmp_path / "b", LINES, unknown=["no idea"]).digest({"model": "1"})
    others = [
        make_suite(tmp_path / "a", LINES).digest({"model": "2"}),
        make_suite(tmp_path / "c", [*LINES, {"question": "Third?", "answer": "x"}]).digest({"model": "1"}),
        make_suite(tmp_path / "d", LINES, max_tokens=5).digest({"model": "1"}),
    ]
    assert len({first, *others}) == 4


@pytest.mark.parametrize("name", ["handbook", "tickets"])
def test_the_suites_of_this_repository_are_sound(name: str) -> None:
    suite = load_suite(ROOT / "evals" / name / "suite.yaml")
    assert len(suite.main.examples) >= 60
    assert suite.general is None or len(suite.general.examples) >= 300
