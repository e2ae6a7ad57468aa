"""A project of one's own: written whole and never over anything, checked, its prompts shown, its keys made."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trivet.cli.main import main
from trivet.cli.project import init as init_module
from trivet.cli.project.check import as_data
from trivet.config import load_config


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    result = run("init", str(tmp_path / "shop"))
    assert result.exit_code == 0, result.output
    return tmp_path / "shop"


def on_free_ports(project: Path) -> Path:
    """The project's file, with listeners that no other server on this machine can have."""
    path = project / "trivet.yaml"
    text = path.read_text()
    for port in ("7600", "7601", "7602"):
        text = text.replace(f"127.0.0.1:{port}", "127.0.0.1:0")
    path.write_text(text)
    return path


def test_a_new_project_has_what_its_readme_says_and_is_sound(project: Path) -> None:
    config = load_config(project / "trivet.yaml")
    assert set(config.routes["assistant"].variants) == {"stable", "candidate"}
    assert len(list((project / "indexes/products/corpus").iterdir())) == 3
    assert len((project / "evals/products/questions.jsonl").read_text().splitlines()) == 5
    readme = (project / "README.md").read_text()
    assert readme.startswith("# shop\n")
    for path in project.rglob("*"):
        assert "$" not in path.name
        assert path.is_dir() or "$" not in path.read_text(), path
    result = run("check", "--config", str(on_free_ports(project)))
    assert result.exit_code == 0, result.output
    assert "is sound: 1 route, 2 variants, 1 index" in result.stdout


def test_nothing_is_overwritten_and_nothing_is_left_half_written(tmp_path: Path) -> None:
    (tmp_path / "trivet.yaml").write_text("mine")
    result = run("init", str(tmp_path))
    assert result.exit_code == 1
    assert f"{tmp_path} has trivet.yaml already: name another folder" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["trivet.yaml"]
    assert (tmp_path / "trivet.yaml").read_text() == "mine"


def test_which_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("init", str(tmp_path / "a"), "--model", "hub:Qwen/Qwen2.5-0.5B-Instruct").exit_code == 0
    assert "model: hub:Qwen/Qwen2.5-0.5B-Instruct\n" in (tmp_path / "a" / "trivet.yaml").read_text()
    result = run("init", str(tmp_path / "b"), "--model", str(tmp_path))
    assert result.exit_code == 1
    assert "expected a folder with a config.json" in result.stderr
    monkeypatch.setattr(init_module, "REPOSITORY", tmp_path)
    monkeypatch.chdir(tmp_path)
    result = run("init", "c")
    assert result.exit_code == 1
    assert "name one with --model" in result.stderr
    assert not (tmp_path / "c").exists()


def test_everything_that_is_wrong_is_told_at_once(project: Path) -> None:
    path = on_free_ports(project)
    text = path.read_text().replace("weight: 9", "weight: heavy").replace("max_num_seqs", "max_seqs")
    path.write_text(text.replace("prompt: assistant@2", "prompt: assistant@3"))
    (project / "prompts/assistant/1.md").write_text("---\nvariables: [company]\n---\nHello {{ company }}")
    (project / "prompts/assistant/1.bak").write_text("old")
    (project / "indexes/products/index.yaml").write_text("chunking: {max_tokens: 1}\n")
    suite = project / "evals/products/suite.yaml"
    text = suite.read_text().replace("index: products, top_k: 1}\n  candidate", "index: x}\n  candidate")
    suite.write_text(f"{text}prompts: own\n")
    (suite.parent / "own" / "bare").mkdir(parents=True)
    (suite.parent / "own" / "bare" / "9.md").write_text("")
    result = run("check", "--config", str(path), "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["ok"] is False
    found = {(Path(item["file"]).name, item["field"]) for item in told["problems"]}
    assert found == {
        ("trivet.yaml", "backends.local.max_seqs"),
        ("trivet.yaml", "routes.assistant.variants.stable.weight"),
        ("trivet.yaml", "routes.assistant.variants.candidate.prompt"),
        ("index.yaml", "chunking.max_tokens"),
        ("1.md", None),
        ("9.md", None),
        ("suite.yaml", "arms.stable.retrieval.index"),
    }
    started = run("serve", "--config", str(path))
    assert started.exit_code == 1
    for item in told["problems"]:
        if "/evals/" not in item["file"]:
            assert item["message"] in started.output


def test_a_variable_that_only_one_variant_requires_is_noted(project: Path) -> None:
    prompt = project / "prompts/assistant/2.md"
    text = prompt.read_text().replace("variables:\n", "variables:\n  shop: {}\n", 1)
    prompt.write_text(text.replace("{{ company }}.", "{{ company }} in {{ shop }}.", 1))
    result = run("check", "--config", str(on_free_ports(project)))
    assert result.exit_code == 0, result.output
    assert "variable shop is required by candidate and not by stable" in result.output
    shown = run(
        "prompt",
        "render",
        "assistant",
        "--variant",
        "stable",
        "--var",
        "shop=Kestrel",
        "--config",
        str(project / "trivet.yaml"),
    )
    assert shown.exit_code == 0, "what any variant of the route declares is accepted, as by the server"


def test_an_adapter_that_does_not_fit_the_model_is_a_problem_where_a_variant_wants_it(project: Path) -> None:
    path = on_free_ports(project)
    for version in ("1", "2"):
        folder = project / "adapters" / "tone" / version
        folder.mkdir(parents=True)
        for name in ("adapter.yaml", "adapter_config.json", "adapter_model.safetensors"):
            (folder / name).write_text("{}")
    path.write_text(path.read_text().replace("prompt: assistant@2", "prompt: assistant@2\n        adapter: tone@1"))
    told = json.loads(run("check", "--config", str(path), "--json").stdout)
    assert [item["file"].removeprefix(f"{project}/") for item in told["problems"]] == ["adapters/tone/1"]
    assert [item["file"].removeprefix(f"{project}/") for item in told["notes"]] == ["adapters/tone/2"]


def test_a_line_of_a_problem_by_its_parts() -> None:
    assert as_data("/a b/c.yaml:3: routes.a: no route: none") == {
        "file": "/a b/c.yaml",
        "line": 3,
        "field": "routes.a",
        "message": "no route: none",
    }
    assert as_data("/p/1.md:2: variable 'x' is not declared")["field"] is None
    assert as_data("--listen: expected host:port")["message"] == "--listen: expected host:port"


def test_a_prompt_as_the_model_gets_it(project: Path) -> None:
    path = str(project / "trivet.yaml")
    arguments = ["prompt", "render", "assistant", "How heavy?", "--variant", "stable", "--config", path]
    told = json.loads(run(*arguments, "--var", "company=Acme", "--passage", "It weighs 5 kg.", "--json").stdout)
    assert told["prompt"] == "assistant@1"
    assert told["text"].startswith(told["prefix_text"])
    assert told["prefix_text"].endswith("You are the support assistant of")
    assert "Acme" in told["text"]
    assert "[1] It weighs 5 kg." in told["text"]
    assert told["text"].count("How heavy?") == 1
    assert told["tokens"] == len(told["token_ids"])
    assert told["cached_blocks"] == told["prefix_tokens"] // told["block_size"] == 1
    shown = run(*arguments)
    assert "Kestrel Outdoor" in shown.stdout.partition("----- the static prefix ends here -----")[2]
    assert "of which 1 x 32 tokens, the full blocks, can be cached" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["assistant"], "has 2 variants, name one of: stable, candidate"),
        (["assistant", "--variant", "old"], "no variant 'old'; known: stable, candidate"),
        (["nope"], "no route 'nope'; known: assistant"),
        (["nope@1"], "no prompt nope@1; known: assistant@1, assistant@2"),
        (["assistant@1", "--var", "tone=x"], "variables.tone: unknown"),
    ],
)
def test_a_prompt_that_cannot_be_shown(project: Path, arguments: list[str], told: str) -> None:
    result = run("prompt", "render", *arguments, "--config", str(project / "trivet.yaml"))
    assert result.exit_code == 1
    assert told in result.stderr


def test_a_key_is_made_once_and_its_entry_fits_the_configuration(project: Path, tmp_path: Path) -> None:
    made = json.loads(run("key", "new", "--name", "alice", "--tenant", "acme", "--json").stdout)
    assert hashlib.sha256(made["secret"].encode()).hexdigest() == made["entry"]["sha256"]
    assert run("key", "new", "--json").stdout != run("key", "new", "--json").stdout
    out = tmp_path / "operator.key"
    result = run("key", "new", "--name", "ops", "--role", "operator", "--out", str(out))
    assert result.exit_code == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    secret = out.read_text().strip()
    assert secret not in result.output
    path = project / "trivet.yaml"
    entry = next(line for line in result.stdout.splitlines() if line.startswith("  - {"))
    path.write_text(f"keys:\n{entry}\n" + path.read_text())
    (key,) = load_config(path).file.keys
    assert (key.name, key.tenant, key.role) == ("ops", "public", "operator")
    assert key.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    again = run("key", "new", "--out", str(out))
    assert again.exit_code == 2
    assert out.read_text().strip() == secret
    assert run("key", "new", "--name", "Not A Name").exit_code == 2
