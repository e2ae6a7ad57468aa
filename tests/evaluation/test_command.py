"""`trivet eval` itself: against a running gateway, and the configuration of a server of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.support.evaluation_suites import SCHEMA, make_suite, write_suite
from tests.support.gateway import harness as gateway_harness
from tests.support.gateway.harness import Gateway, gateway, variant
from trivet.cli.evaluation.config import arm_problems, derive, ingredients
from trivet.cli.evaluation.stuffing import insert
from trivet.cli.main import main
from trivet.config import Config, load_config
from trivet.errors import ConfigError
from trivet.evaluation.runner import Question, request_of
from trivet.types.variant import RewriteSettings, Route, VersionRef

MODEL = Path(__file__).parents[2] / "models" / "demo" / "weights"
PLAIN = {"prompt": "answers@1"}
LINES: list[dict[str, Any]] = [{"question": "Hello?", "answer": "one two three"}, {"question": "What?", "answer": "x"}]


def write_config(folder: Path) -> Path:
    """A configuration with a prompt, an index of one document, and keys that an evaluation's server does without."""
    (folder / "prompts" / "answers").mkdir(parents=True)
    (folder / "prompts" / "answers" / "1.md").write_text("Answer.\n\n<!-- user -->\nA?\n\n<!-- assistant -->\nB.\n")
    (folder / "facts" / "corpus").mkdir(parents=True)
    (folder / "facts" / "index.yaml").write_text("version: 1\n")
    (folder / "facts" / "corpus" / "hub.md").write_text("# Hub\n\nThe hub weighs\n410 grams.\n\nIt is blue.\n")
    route = {"variants": {"v": {"weight": 1, "backend": "local", "prompt": "answers@1"}}}
    data = {
        "version": 1,
        "server": {"data_dir": str(folder / "data")},
        "backends": {"local": {"kind": "embedded", "model": str(MODEL), "max_model_len": 300}},
        "keys": [{"name": "a", "sha256": "0" * 64, "tenant": "acme", "role": "client"}],
        "indexes": {"facts": "facts"},
        "prices": {
            "local": {
                "input_per_million_tokens": 1.0,
                "cached_per_million_tokens": 0.1,
                "output_per_million_tokens": 2.0,
            }
        },
        "routes": {"support": route},
    }
    path = folder / "trivet.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The same, read."""
    return load_config(write_config(tmp_path))


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    """A gateway with the routes of both arms."""
    plain, rag = {"v": variant("v")}, {"v": variant("v", index="facts")}
    routes = [Route("eval-plain", plain, {"v": 1}, "p"), Route("eval-rag", rag, {"v": 1}, "r", retrieval_deadline=5)]
    monkeypatch.setattr(gateway_harness, "routes", lambda: {route.name: route for route in routes})
    async with gateway(tmp_path / "gateway") as running:
        yield running


async def run(*arguments: object) -> Result:
    words = ["eval", *(str(argument) for argument in arguments)]
    return await asyncio.to_thread(CliRunner().invoke, main, words, catch_exceptions=False)


async def test_the_whole_command_against_a_running_server(served: Gateway, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "numbers", LINES, correct=["exact_match"])
    common = (suite, "--config", write_config(tmp_path), "--address", served.address)
    shown = await run(*common)
    assert shown.exit_code == 0, shown.output
    assert "plain answers 50.0 [9, 91]% right (n = 2)" in shown.output
    assert len(served.backend.requests) == 4
    told = await run(*common, "--json", "--html", tmp_path / "page.html")
    report = json.loads(told.stdout)
    assert len(served.backend.requests) == 4  # nothing is asked twice
    assert report["parts"][0]["arms"][1]["comparison"]["difference"]["value"] == 0.0
    page = (tmp_path / "page.html").read_text()
    assert "<svg" in page
    for outside in ("<script", "href=", "src=", "@import", "url("):
        assert outside not in page
    await run(*common, "--fresh", "--limit", 1, "--json")
    assert len(served.backend.requests) == 6


async def test_the_gate_is_an_exit_code(served: Gateway, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "numbers", LINES, correct=["exact_match"])
    common = (suite, "--config", write_config(tmp_path), "--address", served.address)
    refused = await run(*common, "--gate", "--candidate", "rag", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["gate"]["passed"] is False
    other = await run(*common, "--gate", "--baseline", "rag", "--candidate", "plain")
    assert other.exit_code == 1
    assert "plain does not pass the gate" in other.output
    unknown = await run(*common, "--gate", "--candidate", "nope")
    assert unknown.exit_code == 1
    assert "no arm 'nope'; known: plain, rag" in unknown.output
    assert (await run(*common, "--gate")).exit_code == 2
    assert (await run(*common, "--gate", "--candidate", "rag", "--no-general")).exit_code == 2
    assert (await run("nowhere", "--config", common[2])).exit_code == 1


def test_each_arm_becomes_a_route(config: Config, tmp_path: Path) -> None:
    arms = {
        "plain": {"prompt": "answers@1"},
        "rag": {"prompt": "own@1", "retrieval": {"index": "facts", "top_k": 2}, "json_schema": "both"},
    }
    (tmp_path / "suite" / "prompts" / "own").mkdir(parents=True)
    (tmp_path / "suite" / "prompts" / "own" / "1.md").write_text("Of the suite alone.")
    suite = make_suite(
        tmp_path / "suite", LINES, correct=["exact_match"], arms=arms, json_schema=SCHEMA, prompts="prompts"
    )
    derived = derive(config, suite, tmp_path / "out")
    assert derived.indexes == ("facts",)
    made = load_config(derived.path)
    assert set(made.routes) == {"eval-plain", "eval-rag", "eval-rag-schema"}
    assert made.file.keys == []
    assert made.file.prices == config.file.prices
    rag = made.routes["eval-rag"]
    assert rag.variants["eval-rag"].retrieval is not None
    assert rag.variants["eval-rag"].retrieval.top_k == 2
    assert rag.on_retrieval_failure.value == "fail"
    # The same prompt, asked by a twin a moment ago, must not make the other one look cheap.
    assert rag.cache is not made.routes["eval-rag-schema"].cache


def test_an_arm_may_write_follow_up_questions_anew(config: Config, tmp_path: Path) -> None:
    rewrite = {"prompt": "anew@1", "max_tokens": 32, "fuse": True}
    arms = {
        "plain": {"prompt": "answers@1", "retrieval": {"index": "facts"}},
        "anew": {"prompt": "answers@1", "retrieval": {"index": "facts", "rewrite": rewrite}},
    }
    lines = [{"question": "And its colour?", "answer": "red", "earlier": ["How heavy is the hub?", "410 grams."]}]
    suite = make_suite(tmp_path / "suite", lines, correct=["exact_match"], arms=arms, prompts="prompts")
    assert arm_problems(config, suite) == [
        f"{suite.path}:1: arms.anew.retrieval.rewrite.prompt: anew@1 is in none of {config.prompts} and "
        f"{suite.prompts}, expected in one"
    ]
    with pytest.raises(ConfigError, match="anew@1 is in none of"):
        derive(config, suite, tmp_path / "out")
    before = ingredients(config, suite)
    (tmp_path / "suite" / "prompts" / "anew").mkdir(parents=True)
    (tmp_path / "suite" / "prompts" / "anew" / "1.md").write_text("Write it anew.")
    assert ingredients(config, suite) != before
    made = load_config(derive(config, suite, tmp_path / "out").path).routes
    settings = made["eval-anew"].variants["eval-anew"].rewrite
    assert settings == RewriteSettings(VersionRef("anew", "1"), max_tokens=32, fuse=True)
    assert made["eval-plain"].variants["eval-plain"].rewrite is None
    plain, anew = suite.main.arms
    assert "rewrite" not in plain.asked
    assert anew.asked["rewrite"] == ("anew@1", 32, True)
    (example,) = suite.main.examples
    said = request_of(Question(anew, example), suite).messages
    assert [(one.role, one.content) for one in said] == [
        ("user", "How heavy is the hub?"), ("assistant", "410 grams."), ("user", "And its colour?"),
    ]  # fmt: skip


def test_two_versions_of_an_adapter_are_two_arms_that_can_be_compared(config: Config, tmp_path: Path) -> None:
    arms = {
        "adapter": {"prompt": "answers@1", "adapter": "terse@1"},
        "adapter-2": {"prompt": "answers@1", "adapter": "terse@2"},
    }
    general = {"data": "questions.jsonl", "prompt": "answers@1", "margin": 3.0, "correct": ["exact_match"]}
    suite = make_suite(
        tmp_path / "suite", LINES, correct=["exact_match"], arms=arms, baseline="adapter", general=general
    )
    routes = yaml.safe_load(derive(config, suite, tmp_path / "out").path.read_text())["routes"]
    told = {name: route["variants"][name].get("adapter") for name, route in routes.items()}
    assert told == {
        "eval-adapter": "terse@1",
        "eval-adapter-2": "terse@2",
        "eval-general-base": None,
        "eval-general-terse-1": "terse@1",
        "eval-general-terse-2": "terse@2",
    }


def test_a_merged_model_is_an_arm_on_a_backend_of_its_own(config: Config, tmp_path: Path) -> None:
    data = yaml.safe_load(config.path.read_text())
    data["backends"]["merged"] = {"kind": "embedded", "model": str(MODEL), "enable_lora": False}
    data["prices"]["merged"] = data["prices"]["local"]
    config.path.write_text(yaml.safe_dump(data))
    arms = {
        "adapter": {"prompt": "answers@1", "adapter": "terse@1"},
        "merged": {"prompt": "answers@1", "backend": "merged"},
    }
    general = {"data": "questions.jsonl", "prompt": "answers@1", "margin": 3.0, "correct": ["exact_match"]}
    (tmp_path / "adapters" / "terse" / "1").mkdir(parents=True)
    suite = make_suite(
        tmp_path / "suite", LINES, correct=["exact_match"], arms=arms, baseline="adapter", general=general
    )
    made = load_config(derive(load_config(config.path), suite, tmp_path / "out").path)
    found = {name: next(iter(route.variants.values())) for name, route in made.routes.items()}
    assert {name: (variant.backend, variant.adapter and str(variant.adapter)) for name, variant in found.items()} == {
        "eval-adapter": ("local", "terse@1"),
        "eval-merged": ("merged", None),
        "eval-general-base": ("local", None),
        "eval-general-terse-1": ("local", "terse@1"),
        "eval-general-merged": ("merged", None),  # what was merged may have made it forget, too
    }
    alone = make_suite(tmp_path / "alone", LINES, correct=["exact_match"], arms=dict.fromkeys(("plain", "b"), PLAIN))
    made = load_config(derive(load_config(config.path), alone, tmp_path / "less").path)
    assert set(made.file.backends) == set(made.file.prices) == {"local"}, "nothing is asked of the other one"


def test_the_model_that_one_wants_to_replace_is_an_arm(config: Config, tmp_path: Path) -> None:
    data = yaml.safe_load(config.path.read_text())
    data["backends"]["api"] = {
        "kind": "openai", "url": "https://api.example/v1", "served_model": "large", "model": str(MODEL),
        "key_file": "key", "max_model_len": 900,
    }  # fmt: skip
    (config.path.parent / "key").write_text("sk-one")
    config.path.write_text(yaml.safe_dump(data))
    today = {"prompt": "answers@1", "backend": "api", "json_schema": "both"}
    arms = {"ours": {"prompt": "answers@1"}, "today": today}
    suite = make_suite(
        tmp_path / "suite", LINES, correct=["exact_match"], arms=arms, baseline="ours", json_schema=SCHEMA
    )
    made = load_config(derive(load_config(config.path), suite, tmp_path / "out").path)
    assert made.routes["eval-today"].variants["eval-today"].backend == "api"
    assert made.routes["eval-today-schema"].cache.value == "shared", "nobody could keep them apart there"
    assert made.backend_key("api") == "sk-one"


def test_a_server_can_have_the_arms_beside_its_own_routes(config: Config, tmp_path: Path) -> None:
    suite = make_suite(tmp_path / "suite", LINES, correct=["exact_match"], arms=dict.fromkeys(("plain", "b"), PLAIN))
    made = load_config(derive(config, suite, tmp_path / "out", own_routes=True).path)
    assert set(made.routes) == {"support", "eval-plain", "eval-b"}
    assert made.routes["support"] == config.routes["support"]
    assert made.file.keys == []


def test_routes_whose_requests_choose_their_adapters_are_served_beside_the_arms(config: Config, tmp_path: Path) -> None:
    data = yaml.safe_load(config.path.read_text())
    choice = {"by": "tenant", "from": ["{tenant}@2", "{tenant}@1"], "fallback": "base"}
    data["backends"]["local"] |= {"enable_lora": True, "max_loras": 2, "max_cpu_loras": 4}
    data["routes"]["support"]["variants"]["v"]["adapter"] = choice
    data["adapters_on_demand"] = {"failure_memory": 7}
    config.path.write_text(yaml.safe_dump(data))
    given = load_config(config.path)
    suite = make_suite(tmp_path / "suite", LINES, correct=["exact_match"], arms=dict.fromkeys(("plain", "b"), PLAIN))
    alone = load_config(derive(given, suite, tmp_path / "alone").path)
    assert set(alone.routes) == {"eval-plain", "eval-b"}, "what the arms do not choose has no effect there"
    both = load_config(derive(given, suite, tmp_path / "both", own_routes=True).path)
    assert both.routes["support"] == given.routes["support"]
    assert both.routes["support"].variants["v"].adapter_choice is not None
    assert both.file.adapters_on_demand.failure_memory == 7


def test_a_corpus_that_fits_is_stuffed_into_the_cached_prefix(config: Config, tmp_path: Path) -> None:
    arms = {"plain": {"prompt": "answers@1"}, "stuffed": {"prompt": "answers@1", "stuffed": "facts"}}
    suite = make_suite(tmp_path / "suite", LINES, correct=["exact_match"], arms=arms)
    derived = derive(config, suite, tmp_path / "out")
    assert derived.refused == {}
    assert (tmp_path / "out" / "prompts" / "eval-stuffed" / "1.md").read_text() == (
        "Answer.\n\nPassages:\n[1] The hub weighs 410 grams.\n[2] It is blue.\n\n"
        "<!-- user -->\nA?\n\n<!-- assistant -->\nB.\n"
    )
    assert "eval-stuffed" in load_config(derived.path).routes


def test_a_corpus_that_does_not_fit_is_refused_with_its_count(config: Config, tmp_path: Path) -> None:
    (tmp_path / "facts" / "corpus" / "long.md").write_text("The hub weighs 410 grams. " * 200)
    arms = {"plain": {"prompt": "answers@1"}, "stuffed": {"prompt": "answers@1", "stuffed": "facts"}}
    suite = make_suite(tmp_path / "suite", LINES, correct=["exact_match"], arms=arms)
    derived = derive(config, suite, tmp_path / "out")
    assert "does not fit the context: the prompt has" in derived.refused["stuffed"]
    assert "(300 of context less 64 for the answer)" in derived.refused["stuffed"]
    assert set(load_config(derived.path).routes) == {"eval-plain"}


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ({"prompt": "none@1"}, "arms.x.prompt: none@1 is in none of"),
        (
            {"prompt": "answers@1", "retrieval": {"index": "none"}},
            "arms.x.retrieval.index: no index 'none'; known: facts",
        ),
        ({"prompt": "answers@1", "stuffed": "none"}, "arms.x.stuffed: no index 'none'; known: facts"),
        ({"prompt": "answers@1", "backend": "none"}, "arms.x.backend: no backend 'none'; known: local"),
    ],
)
def test_what_the_suite_names_must_be_there(config: Config, tmp_path: Path, arm: dict[str, Any], said: str) -> None:
    suite = make_suite(
        tmp_path / "suite", LINES, correct=["exact_match"], arms={"plain": {"prompt": "answers@1"}, "x": arm}
    )
    with pytest.raises(ConfigError, match=said):
        derive(config, suite, tmp_path / "out")


def test_a_change_of_anything_that_decides_answers_is_another_evaluation(config: Config, tmp_path: Path) -> None:
    (tmp_path / "adapters" / "terse" / "1").mkdir(parents=True)
    (tmp_path / "adapters" / "terse" / "1" / "adapter_config.json").write_text("{}")
    rag = {"prompt": "answers@1", "retrieval": {"index": "facts"}, "adapter": "terse@1"}
    arms = {"plain": {"prompt": "answers@1"}, "rag": rag}
    suite = make_suite(tmp_path / "suite", LINES, correct=["exact_match"], arms=arms)
    digests = [suite.digest(ingredients(config, suite))]
    deciding = (
        "prompts/answers/1.md",
        "facts/corpus/hub.md",
        "facts/index.yaml",
        "adapters/terse/1/adapter_config.json",
    )
    for path in deciding:
        (tmp_path / path).write_text((tmp_path / path).read_text() + "\n")
        digests.append(suite.digest(ingredients(config, suite)))
    for path in ("facts/README.md", "adapters/terse/1/README.md", "prompts/README.md"):
        (tmp_path / path).write_text("of no account")
    assert suite.digest(ingredients(config, suite)) == digests[-1]
    assert len(set(digests)) == 5


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("System.\n", "System.\n\nX\n"),
        (
            "---\ndescription: d\n---\nSystem.\n<!--user-->\nQ\n",
            "---\ndescription: d\n---\nSystem.\n\nX\n\n<!--user-->\nQ\n",
        ),
    ],
)
def test_where_a_corpus_stands_in_a_prompt(prompt: str, expected: str) -> None:
    assert insert(prompt, "X") == expected
