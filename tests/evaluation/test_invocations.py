"""Activated adapters in a suite's general part: invoked as in their own arms, whatever its prompt says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.evaluation_suites import make_suite
from trivet.api.v1 import receipt_pb2
from trivet.cli.evaluation.config import derive
from trivet.cli.evaluation.invocations import Invocations, invoked_at
from trivet.config import load_config
from trivet.errors import FailedPrecondition
from trivet.evaluation.arms import Arm
from trivet.evaluation.runner import check_bundle
from trivet.prompts.template.parser import read_prompt
from trivet.prompts.template.source import InvocationPlace
from trivet.types.variant import VersionRef

MODEL = Path(__file__).parents[2] / "models" / "demo" / "weights"
LINES = [{"question": "A?", "answer": "1"}]
PLAIN = "Answer.\n\n<!-- user -->\nA?\n\n<!-- assistant -->\nB.\n"


def test_the_general_prompt_invokes_each_adapter_as_its_own_arm_does(tmp_path: Path) -> None:
    for name, text in (("answers", PLAIN), ("reader", f"---\ninvocation: question\n---\n{PLAIN}")):
        (tmp_path / "prompts" / name).mkdir(parents=True)
        (tmp_path / "prompts" / name / "1.md").write_text(text)
    variants = {"v": {"weight": 1, "backend": "local", "prompt": "answers@1"}}
    backend = {"kind": "embedded", "model": str(MODEL), "max_model_len": 300, "enable_lora": True}
    file = {"version": 1, "backends": {"local": backend}, "routes": {"r": {"variants": variants}}}
    (tmp_path / "trivet.yaml").write_text(yaml.safe_dump(file))
    general = {"data": "../general.jsonl", "prompt": "answers@1", "correct": ["exact_match"], "margin": 5}
    (tmp_path / "general.jsonl").write_text('{"question": "B?", "answer": "2"}\n')
    arms = {
        "bare": {"prompt": "answers@1"},
        "plain": {"prompt": "answers@1", "adapter": "plain@1"},
        "activated": {"prompt": "reader@1", "adapter": "activated@1"},
    }
    suite = make_suite(tmp_path / "suite", LINES, correct=["exact_match"], arms=arms, baseline="bare", general=general)
    derived = derive(load_config(tmp_path / "trivet.yaml"), suite, tmp_path / "out")
    routes = yaml.safe_load(derived.path.read_text())["routes"]
    asked = {name: next(iter(route["variants"].values()))["prompt"] for name, route in routes.items()}
    assert asked["eval-general-plain-1"] == asked["eval-general-base"] == "answers@1"
    ref = VersionRef.parse(asked["eval-general-activated-1"])
    own = read_prompt(ref, tmp_path / "out" / "prompts" / ref.name / f"{ref.version}.md")
    assert own.invocation is InvocationPlace.QUESTION
    assert own.turns == read_prompt(ref, tmp_path / "prompts" / "answers" / "1.md").turns


@pytest.mark.parametrize(
    "head", ["", "---\n---\n", "---\ndescription: 'a: b'\n---\n", "--- \ninvocation: question\nraw: false\n---  \n"]
)
def test_only_the_invocation_of_a_prompt_changes(tmp_path: Path, head: str) -> None:
    text = f"{head}First.\n---\nNot a head.\n"
    before, after = tmp_path / "before.md", tmp_path / "after.md"
    before.write_text(text)
    after.write_text(invoked_at(text, InvocationPlace.APPENDED))
    ref = VersionRef("p", "1")
    old, new = read_prompt(ref, before), read_prompt(ref, after)
    assert new.invocation is InvocationPlace.APPENDED
    assert (new.turns, new.description, new.raw) == (old.turns, old.description, old.raw)


def test_an_arm_is_known_by_its_prompt_or_the_one_written_for_it_alone() -> None:
    arm = Arm("general/a@1", "terse@1", 8, adapter="a@1")
    check_bundle(arm, receipt_pb2.Receipt(adapter="a@1", prompt="terse@1"))
    check_bundle(arm, receipt_pb2.Receipt(adapter="a@1", prompt="eval-general-a-1@1"))
    for other in ("terse@2", "eval-general-base@1", ""):
        with pytest.raises(FailedPrecondition, match="expected terse@1"):
            check_bundle(arm, receipt_pb2.Receipt(adapter="a@1", prompt=other))


def test_a_byte_order_mark_hides_no_front_matter(tmp_path: Path) -> None:
    reader, source, made = (tmp_path / f"{name}.md" for name in ("reader", "source", "made"))
    reader.write_text(f"---\ninvocation: question\n---\n{PLAIN}")
    source.write_text("---\nvariables:\n  who: {default: you}\n---\nHello {{ who }}.\n", encoding="utf-8-sig")
    arms = Invocations([(Arm("own", "reader@1", 10, adapter="activated@1"), reader)])
    assert arms.write(source, Arm("general", "source@1", 10, adapter="activated@1"), made)
    read = read_prompt(VersionRef.parse("made@1"), made)
    assert read.invocation is InvocationPlace.QUESTION
    assert list(read.variables) == ["who"]
