"""Variants whose requests choose their adapter: what of them is refused at the start, and where."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from trivet.config import examine_config

OWN = {"by": "tenant", "from": ["{tenant}@1"], "fallback": "base"}


def told(folder: Path, adapter: Any, *tenants: str, beside: Any = None, **top: Any) -> list[str]:
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "config.json").write_text("{}")
    (folder / "prompts" / "p").mkdir(parents=True, exist_ok=True)
    (folder / "prompts" / "p" / "1.md").write_text("Answer.")
    variant = {"weight": 1, "backend": "local", "prompt": "p@1"}
    variants = {"own": {**variant, "adapter": adapter}}
    if beside is not None:
        variants["other"] = {**variant, **beside}
    keys = [
        {"name": t, "tenant": t, "role": "client", "sha256": hashlib.sha256(t.encode()).hexdigest()} for t in tenants
    ]
    data = {
        "backends": {"local": {"kind": "embedded", "model": "model"}},
        "keys": keys,
        "routes": {"ask": {"variants": variants}},
        **top,
    }
    path = folder / "trivet.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    found = examine_config(path).problems
    return [line for line in found if "adapter" in line]


def test_a_sound_choice_is_taken(tmp_path: Path) -> None:
    assert told(tmp_path, OWN, "acme", "acme-x") == []
    assert told(tmp_path, {"by": "request", "from": ["{tenant}@*"], "fallback": "refuse"}, "acme", "acme-x") == []


@pytest.mark.parametrize(
    ("adapter", "says"),
    [
        ({**OWN, "from": ["{tenant}@*"]}, "means nothing with by: tenant"),
        ({**OWN, "from": ["common@1"]}, "expected {tenant} in at least one pattern"),
        ({**OWN, "label": "style"}, "has no effect without by: label"),
        ({**OWN, "by": "label", "from": ["{tenant}@{label}"]}, "expected the name of the label"),
        ({"by": "request", "from": ["{tenant}-*@1"], "fallback": "base"}, "use the same adapters"),
        ({"by": "request", "from": ["*@*", "{tenant}@*"], "fallback": "base"}, "every tenant"),
        ({**OWN, "from": ["../{tenant}@1"]}, "expected name@version"),
        ({**OWN, "fallback": "none"}, "fallback"),
    ],
)
def test_what_could_not_hold_is_refused(tmp_path: Path, adapter: Any, says: str) -> None:
    assert any(says in line for line in told(tmp_path, adapter, "acme", "acme-x"))


def test_by_request_is_of_all_variants_or_of_none(tmp_path: Path) -> None:
    by_request = {"by": "request", "from": ["{tenant}@*"], "fallback": "base"}
    assert any("expected it in all of them" in line for line in told(tmp_path, by_request, "acme", beside={}))


def test_bounds_without_a_choice_have_no_effect(tmp_path: Path) -> None:
    assert any("has no effect" in line for line in told(tmp_path, None, adapters_on_demand={"max_waiting": 3}))
