"""`trivet prompt lint` and `trivet prompt diff` on a project's files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trivet.cli.main import main

ROOT = Path(__file__).parents[2]
STATIC = (
    "Answer the questions of customers about bicycles, lamps and sofas in two short sentences. "
    "Stay friendly when somebody is angry, and never promise what the shop has not promised itself."
)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["prompt", *arguments])


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A project with two versions of a prompt, the second with its variable in front."""
    folder = tmp_path_factory.mktemp("project")
    prompts = folder / "prompts" / "shop"
    prompts.mkdir(parents=True)
    head = "---\nvariables: {company: {default: Kestrel}}\n---\n"
    (prompts / "1.md").write_text(f"{head}{STATIC}You speak for {{{{ company }}}}.\n")
    (prompts / "2.md").write_text(
        f"{head.replace('{default: Kestrel}', '{}')}You speak for {{{{ company }}}}. {STATIC}\n"
    )
    path = folder / "trivet.yaml"
    path.write_text(
        f"""
backends: {{local: {{kind: embedded, model: {ROOT / "models/demo/weights"}, block_size: 16}}}}
prices: {{local: {{input_per_million_tokens: 1.0, cached_per_million_tokens: 0.25, output_per_million_tokens: 2.0}}}}
routes: {{shop: {{variants: {{stable: {{backend: local, prompt: shop@1, weight: 1}}}}}}}}
"""
    )
    return str(path)


def test_the_shipped_prompts_have_nothing_to_object_to() -> None:
    result = run("lint", "--strict", "--config", str(ROOT / "trivet.yaml"))
    assert (result.exit_code, result.stdout) == (0, ""), result.output


def test_a_review_names_file_line_and_rule_and_fails_where_it_is_told_to(config: str) -> None:
    result = run("lint", "--config", config)
    assert result.exit_code == 0
    assert "2.md:4: warning: {{ company }} stands before about" in result.stdout
    assert "[uncached-text]" in result.stdout
    assert run("lint", "--strict", "--config", config).exit_code == 1
    assert run("lint", "--strict", "shop@1", "--config", config).exit_code == 0
    assert run("lint", "--strict", "--ignore", "uncached-text", "--config", config).exit_code == 0
    [first, second] = json.loads(run("lint", "--json", "--config", config).stdout)
    assert (first["prompt"], first["variants"]) == ("shop@1", ["shop/stable"])
    assert [finding["rule"] for finding in second["findings"] if finding["severity"] == "warning"] == ["uncached-text"]
    assert first["sizes"][0]["cached"] > second["sizes"][0]["cached"]


def test_a_comparison_predicts_what_the_cache_loses(config: str) -> None:
    found = json.loads(run("diff", "shop@1", "shop@2", "--json", "--config", config).stdout)
    [cache] = found["caches"]
    lost = cache["cached_tokens_before"] - cache["cached_tokens_after"]
    assert lost == cache["lost_tokens"] >= 32
    assert cache["lost_usd_per_thousand_requests"] == pytest.approx(0.75 * lost / 1000)
    assert found["variables"] == ["company has no default any more: every request has to give it"]
    assert "uncached-text" in [finding["rule"] for finding in found["new"]]
    told = run("diff", "shop@1", "shop@2", "--fail-on-loss", "--config", config)
    assert told.exit_code == 1
    assert f"each request finds {lost} tokens fewer cached (USD" in told.stdout
    assert run("diff", "shop@2", "shop@1", "--fail-on-loss", "--config", config).exit_code == 0
    same = run("diff", "shop@1", "shop@1", "--config", config)
    assert "the text is the same" in same.stdout
    assert "finds as much cached as before" in same.stdout


def test_names_that_are_not_there_are_told(config: str) -> None:
    assert "no prompt 'desk'; known: shop" in run("lint", "desk", "--config", config).stderr
    assert "no prompt shop@3; known: shop@1, shop@2" in run("diff", "shop@1", "shop@3", "--config", config).stderr
    assert run("diff", "shop", "shop@2", "--config", config).exit_code == 2


def test_the_rules_can_be_listed() -> None:
    assert "uncached-text" in run("lint", "--rules").stdout
    assert {"name", "severity", "owasp", "summary"} == json.loads(run("lint", "--rules", "--json").stdout)[0].keys()
