"""What a variant says of rewriting is read, and refused where it could not apply."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.engine.training_base import make_base
from trivet.app.prompts import ServedPrompts, prompt_problems
from trivet.config import Config, load_config
from trivet.errors import ConfigError
from trivet.routing.content import content_digest
from trivet.types.variant import RewriteSettings, VersionRef

REWRITE = {"prompt": "r@1", "max_tokens": 32, "max_turns": 2, "max_characters": 500, "deadline_ms": 250, "fuse": True}
Read = Callable[..., Config]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    make_base(tmp_path / "model")
    (tmp_path / "model" / "chat.jinja").write_text(
        "{% for m in messages %}{{ '<s>' + m.content + '</s>' }}{% endfor %}"
    )
    (tmp_path / "facts" / "corpus").mkdir(parents=True)
    (tmp_path / "facts" / "index.yaml").write_text("correct_spelling: true\n")

    def write(rewrite: dict[str, Any] | None, prompt: str = "Write it anew.") -> Config:
        for name, text in (("p", "Answer."), ("r", prompt)):
            (tmp_path / "prompts" / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "prompts" / name / "1.md").write_text(text)
        retrieval = {"index": "facts", **({} if rewrite is None else {"rewrite": rewrite})}
        variant = {"weight": 1, "backend": "local", "prompt": "p@1", "retrieval": retrieval}
        backend = {"kind": "embedded", "model": "model", "chat_template": "model/chat.jinja"}
        data = {
            "version": 1,
            "backends": {"local": backend},
            "indexes": {"facts": "facts"},
            "routes": {"ask": {"variants": {"v": variant}}},
        }
        path = tmp_path / "trivet.yaml"
        path.write_text(yaml.safe_dump(data))
        return load_config(path)

    return write


def test_settings_are_read_and_their_prompt_is_served(read: Read) -> None:
    config = read(REWRITE)
    variant = config.routes["ask"].variants["v"]
    assert variant.rewrite == RewriteSettings(VersionRef("r", "1"), False, 32, 2, 500, 0.25, True)
    assert set(ServedPrompts.of(config).assemblers) == {
        ("local", VersionRef("p", "1")),
        ("local", VersionRef("r", "1")),
    }
    assert config.indexes["facts"].file.correct_spelling
    assert prompt_problems(config) == []


def test_without_it_a_route_is_what_it_was(read: Read) -> None:
    plain = read(None).routes["ask"]
    assert plain.variants["v"].prompts == (VersionRef("p", "1"),)
    assert content_digest(plain) != content_digest(read(REWRITE).routes["ask"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"prompt": "r@2"}, "retrieval.rewrite.prompt: no file"),
        ({"model": "adapter"}, "retrieval.rewrite.model: is adapter, and the variant has none"),
        ({"max_tokens": 257}, "retrieval.rewrite.max_tokens"),
        ({"max_turns": 0}, "retrieval.rewrite.max_turns"),
        ({"max_characters": 20_000}, "retrieval.rewrite.max_characters"),
        ({"deadline_ms": 0}, "retrieval.rewrite.deadline_ms"),
    ],
)
def test_what_could_not_apply_is_refused(read: Read, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told.replace(".", r"\.")):
        read({**REWRITE, **changes})


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("---\nvariables:\n  tone: {}\n---\nBe {{ tone }}.", "requires tone, which nobody gives a value to"),
        ("---\nraw: true\n---\n", "is raw"),
    ],
)
def test_a_prompt_that_cannot_rewrite_is_refused(read: Read, prompt: str, told: str) -> None:
    config = read(REWRITE, prompt)
    with pytest.raises(ConfigError, match=told):
        ServedPrompts.of(config)
    assert any(told in problem for problem in prompt_problems(config))
