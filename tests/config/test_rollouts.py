"""Rollouts and the state store in the file: defaults, what is refused and where, what needs a restart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.engine.training_base import make_base
from trivet.config import Environment, Overrides, examine_config, load_config, needs_restart
from trivet.config.rollouts import rollout_spec
from trivet.rollouts.spec import DEFAULT_GUARDRAILS, Guardrail, GuardrailKind, RolloutSpec
from trivet.types.rollout import RouteRollout

SCHEMA = {"type": "object", "properties": {"queue": {"type": "string"}}, "required": ["queue"]}
PRICE = {"input_per_million_tokens": 1.0, "cached_per_million_tokens": 0.1, "output_per_million_tokens": 2.0}
Data = dict[str, Any]


@pytest.fixture
def data(tmp_path: Path) -> Data:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "prompts" / "p").mkdir(parents=True)
    for version in "12":
        (tmp_path / "prompts" / "p" / f"{version}.md").write_text("Answer.")
    variants: Data = {
        "old": {"backend": "local", "prompt": "p@1", "json_schema": SCHEMA},
        "new": {"backend": "local", "prompt": "p@2", "json_schema": SCHEMA},
    }
    rollout = {"stable": "old", "candidate": "new"}
    return {
        "backends": {"local": {"kind": "embedded", "model": "model"}},
        "prices": {"local": PRICE},
        "routes": {"ask": {"variants": variants, "rollout": rollout}},
    }


def written(folder: Path, data: Data) -> Path:
    path = folder / "trivet.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def told(folder: Path, data: Data) -> list[str]:
    """`field: text` of each problem, but for those of the model, which is an empty folder."""
    found = examine_config(written(folder, data)).problems
    lines = [line.removeprefix(f"{folder}/trivet.yaml:").partition(": ")[2] for line in found]
    return [line for line in lines if not line.startswith("backends.")]


def spec_of(folder: Path, data: Data) -> RolloutSpec:
    config = examine_config(written(folder, data)).config
    assert config is not None
    return rollout_spec(config.file, "ask", stable_digest="a" * 64, candidate_digest="b" * 64)


def test_defaults_are_the_specifications_own(tmp_path: Path, data: Data) -> None:
    assert told(tmp_path, data) == []
    kinds = [one for one in DEFAULT_GUARDRAILS if one.kind is not GuardrailKind.FEEDBACK]
    expected = RolloutSpec("ask", "old", "new", "a" * 64, "b" * 64, guardrails=tuple(kinds))
    assert spec_of(tmp_path, data) == expected
    data["routes"]["ask"]["rollout"]["shadow"] = {"time": "1h"}
    assert spec_of(tmp_path, data) == replace(expected, shadow_seconds=3600.0, shadow_share=0.1)


def test_the_arms_of_all_rollouts_have_their_places_for_adapters(tmp_path: Path, data: Data) -> None:
    data["backends"]["local"] |= {"max_loras": 1, "max_cpu_loras": 2}
    variants = data["routes"]["ask"]["variants"]
    variants["old"]["adapter"], variants["new"]["adapter"] = "tone@1", "tone@2"
    data["routes"]["again"] = {"variants": {"one": variants["old"], "two": variants["new"]}}
    data["routes"]["again"]["rollout"] = {"stable": "two", "candidate": "one"}
    assert not [line for line in told(tmp_path, data) if "resident" in line]
    data["routes"]["more"] = {"variants": {"old": variants["old"], "new": {**variants["new"], "adapter": "tone@3"}}}
    assert not [line for line in told(tmp_path, data) if "resident" in line]
    data["routes"]["more"]["rollout"] = {"stable": "old", "candidate": "new"}
    (line,) = [line for line in told(tmp_path, data) if "resident" in line]
    assert line.startswith("routes.more.rollout: keeps adapter tone@3 resident")
    assert "expected at most max_cpu_loras (2)" in line


def test_until_the_store_says_otherwise_all_units_have_stable(tmp_path: Path, data: Data) -> None:
    data["routes"]["ask"]["rollout"]["holdout"] = "10%"
    config = examine_config(written(tmp_path, data)).config
    assert config is not None
    route = config.routes["ask"]
    assert route.weights == {"old": 1.0, "new": 0.0}
    assert route.rollout == RouteRollout("", "pending", -1, "old", "new", 0.0, 0.1, "")


def test_only_guardrails_that_requests_can_tell_of_are_there_by_default(tmp_path: Path, data: Data) -> None:
    del data["prices"], data["routes"]["ask"]["variants"]["old"]["json_schema"]
    kinds = [one.kind for one in spec_of(tmp_path, data).guardrails]
    assert kinds == [GuardrailKind.ERROR, GuardrailKind.DEGRADED, GuardrailKind.TTFT]


def test_everything_can_be_said(tmp_path: Path, data: Data) -> None:
    data["routes"]["ask"]["rollout"] |= {
        "start": "automatic", "steps": ["10%", 0.5], "alpha": 0.1, "promotion_alpha": "10%", "minimum_time": "15m",
        "minimum_units": 40, "smoke_units": 5, "maximum_time": "2d", "silence": "90s", "warming_time": "1h", "soak": 30,
        "approval": "promotion", "shadow": {"time": "1h", "share": "5%", "max_running": 3, "load": "20%"},
        "holdout": 0.05, "most_without_unit": "1%", "stable_slowdown": 2.0,
        "guardrails": {"error": {"margin": "2%"}, "total": {"margin": 0.1, "slower": 1.5, "required": True}},
    }  # fmt: skip
    assert told(tmp_path, data) == []
    spec = spec_of(tmp_path, data)
    assert (spec.steps, spec.minimum_seconds, spec.maximum_seconds) == ((0.1, 0.5), 900.0, 172_800.0)
    assert (spec.silence_seconds, spec.warming_seconds, spec.soak_seconds) == (90.0, 3600.0, 30.0)
    assert (spec.shadow_running, spec.shadow_load) == (3, 0.2)
    assert (spec.shadow_seconds, spec.shadow_share, spec.most_without_unit) == (3600.0, 0.05, 0.01)
    assert spec.guardrails == (
        Guardrail(GuardrailKind.ERROR, margin=0.02, required=True),
        Guardrail(GuardrailKind.TOTAL, margin=0.1, slower=1.5, required=True),
    )


def test_all_that_is_wrong_is_told_at_once_with_its_place(tmp_path: Path, data: Data) -> None:
    ask = data["routes"]["ask"]
    ask["salt"] = "x"
    ask["variants"]["old"]["weight"] = 1
    del ask["variants"]["old"]["json_schema"]
    del data["prices"]
    ask["rollout"] |= {
        "steps": ["5%", "1%"], "minimum_time": "10m", "maximum_time": "5m", "minimum_units": 5, "silence": "2d",
        "guardrails": {"format": {}, "cost": {}, "ttft": {"slower": 20.0}, "feedback": {"required": True, "margin": 0}},
    }  # fmt: skip
    at = "routes.ask.rollout"
    assert told(tmp_path, data) == [
        "routes.ask.variants.old.weight: has no effect beside the route's rollout, which gives the shares: leave it "
        "out",
        "routes.ask.salt: has no effect beside a rollout, which has a salt of its own",
        f"{at}.guardrails.format: the stable variant has no json_schema to hold answers against: leave it out",
        f"{at}.guardrails.cost: no prices of backend local: add them, or leave it out",
        f"{at}.steps: expected each to be above the one before",
        f"{at}.minimum_units: 5, expected a number from 30 to 10000000",
        f"{at}.silence: 172800.0, expected a number from 1 to 86400",
        f"{at}.maximum_time: 300.0, expected more than minimum_time, 600.0",
        f"{at}.guardrails.ttft: slower is 20.0, expected a number from 1 to 10",
        f"{at}.guardrails.feedback: required without a margin, expected margin above 0 or ratio above 1: equality "
        "cannot be proven",
    ]


@pytest.mark.parametrize(
    ("rollout", "expected"),
    [
        ({"candidate": "newer"}, "candidate: no variant 'newer'; known: old, new"),
        ({"candidate": "old"}, "candidate: 'old' is the stable variant, expected another one"),
        ({"steps": ["5 percent"]}, "steps.0: expected a share such as 5% or 0.05"),
        ({"steps": []}, "steps: expected at least 1 entry"),
        ({"soak": "1 hour"}, "soak: expected seconds, or a number with its unit, such as 90s, 15m, 1h or 7d"),
        ({"start": "now"}, "start: expected 'manual' or 'automatic'"),
        ({"guardrails": {"speed": {}}}, "guardrails.speed"),
        ({"guardrails": {"shadow_agreement": {"tolerance": 0.1}, "error": {}}}, "guardrails: shadow_agreement without"),
        ({"shadow": {"time": "1h", "load": 0}}, "shadow.load: 0.0, expected a number from 0.01 to 1"),
        ({"shadow": {"time": "1h", "max_running": 0}}, "shadow.max_running: expected at least 1"),
        ({"shadow": {"time": "8d"}}, "maximum_time: 604800.0, expected more than shadow.time, 691200.0"),
        ({"shadow": {"share": 0.1}}, "shadow.time"),
        ({"holdout": 0.6}, "holdout: 0.6, expected a number from 0 to 0.5"),
        ({"stages": []}, "stages: unknown field, did you mean steps?"),
    ],
)
def test_what_is_wrong_is_told_with_what_was_expected(tmp_path: Path, data: Data, rollout: Data, expected: str) -> None:
    data["routes"]["ask"]["rollout"] |= rollout
    (line,) = told(tmp_path, data)
    assert line.startswith(f"routes.ask.rollout.{expected}")


def test_two_names_of_one_thing_are_no_rollout(tmp_path: Path, data: Data) -> None:
    data["routes"]["ask"]["variants"]["new"] = dict(data["routes"]["ask"]["variants"]["old"])
    assert told(tmp_path, data) == [
        "routes.ask.rollout.candidate: consists of the same as the stable variant, expected another one"
    ]


def test_without_a_rollout_variants_need_their_weights(tmp_path: Path, data: Data) -> None:
    del data["routes"]["ask"]["rollout"]
    assert told(tmp_path, data) == [
        "routes.ask.variants.old.weight: required field is missing",
        "routes.ask.variants.new.weight: required field is missing",
    ]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({}, None),
        ({"url": "postgresql://trivet@db:5432/trivet", "cut_off_after": "30s"}, None),
        ({"url": "postgresql:///trivet?host=/run/postgresql"}, None),
        ({"url": "postgresql://trivet:hunter2@db/trivet"}, "url: expected sqlite, or postgresql://"),
        ({"url": "postgresql://db/trivet?password=hunter2"}, "url: has a password in it"),
        ({"url": "mysql://db/trivet"}, "url: expected sqlite, or postgresql://"),
        ({"password_file": "trivet.yaml"}, "password_file: has no effect without a database's URL"),
        ({"url": "postgresql://db/trivet", "password_file": "none"}, "password_file: no file"),
        ({"cut_off_after": 0}, "cut_off_after: expected more than 0"),
    ],
)
def test_the_state_store(tmp_path: Path, data: Data, state: Data, expected: str | None) -> None:
    data["state"] = state
    lines = told(tmp_path, data)
    assert [line.startswith(f"state.{expected}") for line in lines] == ([] if expected is None else [True])
    assert "hunter2" not in str(lines)


def test_the_password_comes_from_the_environment_or_a_file_and_is_never_shown(tmp_path: Path, data: Data) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    data["state"] = {"url": "postgresql://trivet@db/trivet", "password_file": "secret"}
    path = written(tmp_path, data)
    config = examine_config(path).config
    assert config is not None
    assert config.state_password() == "hunter2"
    given = Environment.read({"TRIVET_STATE_PASSWORD": "hunter3"}).state_password
    config = examine_config(path, Overrides(state_password=given)).config
    assert config is not None
    assert config.state_password() == "hunter3"
    assert "hunter" not in repr(config)


def test_the_state_store_needs_a_restart_and_a_rollout_does_not(tmp_path: Path, data: Data) -> None:
    make_base(tmp_path / "small")
    data["backends"]["local"]["model"] = "small"
    before = load_config(written(tmp_path, data))
    data["routes"]["ask"]["rollout"]["steps"] = ["50%"]
    assert needs_restart(before, load_config(written(tmp_path, data))) == []
    data["state"] = {"url": "postgresql://db/trivet"}
    (line,) = needs_restart(before, load_config(written(tmp_path, data)))
    assert "state.url: differs from what is served: needs a restart" in line
