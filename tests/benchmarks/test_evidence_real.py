"""The page of a real model from a run that was stopped: what all arms have answered counts, and the rest is missing."""

from __future__ import annotations

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import yaml

from benchmarks.evidence.real import CLAIMS, REAL, Asked, answered, by_kind, extent
from trivet.cli.evaluation.run import Evaluation, EvaluationOptions, find_suite
from trivet.config import Config, Overrides, load_config
from trivet.evaluation.outcomes import Outcome, OutcomeLog
from trivet.evaluation.suite import Suite, load_suite

ROOT = Path(__file__).parents[2]
CLAIM = CLAIMS[-1]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Of the real model, with the shipped one's weights: which is not fetched for a test."""
    said = yaml.safe_load((REAL / "trivet.yaml").read_text())
    said["backends"]["local"]["model"] = str(ROOT / "models" / "demo" / "weights")
    said["prompts"], said["indexes"]["handbook"] = str(ROOT / "prompts"), str(ROOT / "indexes" / "handbook")
    (tmp_path / "trivet.yaml").write_text(yaml.safe_dump(said))
    return load_config(tmp_path / "trivet.yaml", Overrides(data_dir=tmp_path))


@pytest.fixture
def suite() -> Suite:
    return CLAIM.load()


def keep(config: Config, suite: Suite, questions: int, without: tuple[str, int] | None = None) -> None:
    """Answers to the first questions: the hybrid's are right, all others say nothing."""
    evaluation = Evaluation(config, suite, EvaluationOptions())
    evaluation.folder.mkdir(parents=True, exist_ok=True)
    with OutcomeLog(evaluation.folder / "results.jsonl") as log:
        for number, example in enumerate(suite.main.examples[:questions]):
            value = example.answers[0] if example.answers else ""
            right = f'{{"answer":"{value}","found":{"true" if value else "false"}}}'
            for arm in suite.main.arms:
                if (arm.name, number) != without:
                    said = right if arm.name == "hybrid" else "nothing"
                    log.add(Outcome(evaluation.digest, arm.name, example.id, text=said, total_ms=1500.0))


def test_a_question_counts_once_every_arm_has_answered_it(config: Config, suite: Suite) -> None:
    assert answered(config, suite) == 0
    keep(config, suite, 9, without=("rag", 7))
    assert answered(config, suite) == 7


def test_right_answers_are_counted_by_kind(config: Config, suite: Suite) -> None:
    keep(config, suite, 30)
    lines = list(by_kind(config, Asked(CLAIM, suite, answered(config, suite))))
    [heading] = [line for line in lines if line.startswith("| arm")]
    counts = [sum(one.id.startswith(kind) for one in suite.main.examples[:30]) for kind in ("fact", "two", "compare")]
    assert [f"n = {count}" in heading for count in counts] == [True] * 3
    rows = {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}
    assert rows["hybrid"].count("100.0 [") == 4
    assert rows["base"].count(" 0.0 [") == 4
    assert rows["hybrid"].endswith("| 1.5             |")


def test_the_page_says_what_is_missing() -> None:
    assert extent(214, 214) == "all 214 questions"
    assert "**The other 204 have not been asked**" in extent(10, 214)


def test_every_arm_but_the_claims_own_is_its_rival(suite: Suite) -> None:
    for claim in CLAIMS:
        names = {arm.name for arm in load_suite(find_suite(str(ROOT / "evals" / claim.suite))).main.arms}
        assert {*claim.rivals, claim.arm} == names


def test_a_converted_model_does_not_call_itself_quantized(tmp_path: Path) -> None:
    """vLLM refuses one that does, or that names no architecture."""
    spec = spec_from_file_location("make_real", REAL / "make.py")
    assert spec is not None
    assert spec.loader is not None
    make = module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, make)
        spec.loader.exec_module(make)
        path = tmp_path / "config.json"
        path.write_text('{"model_type": "llama", "quantization_config": {"quant_method": "gguf"}, "vocab_size": 49152}')
        make.tell_plainly(path, "LlamaForCausalLM")
    told = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 49152}
    assert json.loads(path.read_text()) == told
