"""What a suite from the log compares, and what an export's chats begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.datasets.test_selection import chats, pairs, said
from trivet.cli.data.arms import arms_of, schema_of
from trivet.cli.data.prompts import messages_of
from trivet.cli.data.suites import SOURCES, TRAINING, learned_by, source
from trivet.config import Config
from trivet.config.schema import ConfigFile
from trivet.datasets.folder import write_folder
from trivet.errors import ConfigError, FailedPrecondition
from trivet.types.variant import VersionRef

STABLE = {"backend": "local", "prompt": "p@1"}


def configured(folder: Path, variants: dict[str, Any]) -> Config:
    (folder / "prompts" / "p").mkdir(parents=True)
    (folder / "prompts" / "p" / "1.md").write_text("Be short.\n\n<!-- user -->\nTwo?\n\n<!-- assistant -->\n2\n")
    (folder / "prompts" / "p" / "2.md").write_text("---\nvariables: {city: {}}\n---\nYou are in {{ city }}.\n")
    content = {"version": 1, "backends": {"local": {"kind": "embedded", "model": "model"}}}
    file = ConfigFile.model_validate({**content, "routes": {"ask": {"variants": variants}}})
    return Config(folder / "trivet.yaml", file, folder / "data", {}, {})


def test_the_variants_are_the_arms(tmp_path: Path) -> None:
    schema, found = {"type": "object"}, {"index": "handbook", "top_k": 2}
    config = configured(tmp_path, {
        "stable": {**STABLE, "weight": 1},
        "candidate": {
            **STABLE, "weight": 0, "adapter": "a@1", "json_schema": schema, "retrieval": found,
        },
        "own": {**STABLE, "weight": 0, "adapter": {"by": "tenant", "from": ["{tenant}@1"], "fallback": "base"}},
    })  # fmt: skip
    assert arms_of(config, "ask") == {
        "stable": {"prompt": "p@1"},
        "candidate": {
            "prompt": "p@1", "adapter": "a@1", "json_schema": "with",
            "retrieval": {**found, "token_budget": 1024},
        },
    }  # fmt: skip
    assert schema_of(config, "ask") == schema
    with pytest.raises(ConfigError, match="no route 'asked'; known: ask"):
        arms_of(config, "asked")


def test_one_variant_is_compared_with_its_parts_and_a_prompt_alone_with_nothing(tmp_path: Path) -> None:
    config = configured(tmp_path / "a", {"only": {**STABLE, "weight": 1, "adapter": "a@1"}})
    assert arms_of(config, "ask") == {
        "only": {"prompt": "p@1", "adapter": "a@1"}, "only-without-adapter": {"prompt": "p@1"},
    }  # fmt: skip
    with pytest.raises(FailedPrecondition, match="route ask has no two arms to compare"):
        arms_of(configured(tmp_path / "b", {"only": {**STABLE, "weight": 1}}), "ask")


def test_chats_begin_with_the_prompt_and_corrected_ones_weigh_more(tmp_path: Path) -> None:
    config = configured(tmp_path, {"only": {**STABLE, "weight": 1}})
    before = messages_of(config, VersionRef("p", "1"))
    assert before == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "2", "learned": False},
    ]
    corrected, rated = chats(said(1, "Three?", corrected_text="3"), said(2, "Four?", "4", score=1.0)).rows
    asked = [{"role": "user", "content": "Three?"}]
    assert corrected.as_chat(before, 3) == {
        "messages": [*before, *asked, {"role": "assistant", "content": "3"}], "weight": 3,
    }  # fmt: skip
    assert set(rated.as_chat(before, 3)) == {"messages"}
    assert corrected.as_pair(failures=3)["prompt"] == asked
    with pytest.raises(ConfigError, match=r"2.md:1: has variables, and each request its own values of them"):
        messages_of(config, VersionRef("p", "2"))


def test_who_gave_the_worse_answer_of_a_pair_was_learned_from_too(tmp_path: Path) -> None:
    rows = pairs(said(1, "one", "good", "u1", score=1.0), said(2, "one", "bad", "u2", score=0.0)).rows
    rows += pairs(said(3, "two", "bad", "u3", corrected_text="good")).rows
    lines = [source(TRAINING, number, row) for number, row in enumerate(rows, start=1)]
    assert [line.get("rejected_unit") for line in lines] == ["u2", None]
    write_folder(tmp_path / "pairs", {TRAINING: [row.as_pair() for row in rows], SOURCES: lines}, {})
    assert learned_by([tmp_path / "pairs"])[0].units == {"u1", "u2", "u3"}
