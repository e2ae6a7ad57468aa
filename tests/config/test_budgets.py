"""Limits in the file: what they come to, and what is refused because it would not apply."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.config import examine_config
from trivet.config.budgets import limit_set
from trivet.config.schema import ConfigFile
from trivet.types.budget import Limit, Owner, Period, Unit

FILE = """\
keys:
  - {{name: a, sha256: "{sha}", tenant: acme, role: client{key}}}
budgets: {budgets}
backends:
  local: {{kind: embedded, model: model}}
routes:
  support: {{variants: {{a: {{backend: local, prompt: p@1}}}}}}
"""


def told(folder: Path, budgets: str = "{}", key: str = "") -> list[str]:
    path = folder / "trivet.yaml"
    path.write_text(FILE.format(budgets=budgets, key=key, sha="0" * 64))
    lines = [line.removeprefix(f"{path}:") for line in examine_config(path).problems]
    return [line for line in lines if "budgets" in line or "keys" in line]


def test_limits_are_whole_numbers_of_their_unit() -> None:
    file = ConfigFile.model_validate(
        {
            "backends": {"local": {"kind": "embedded", "model": "model"}},
            "routes": {"r": {"variants": {"a": {"backend": "local", "prompt": "p@1"}}}},
            "keys": [
                {"name": "k", "sha256": "0" * 64, "tenant": "acme", "role": "client",
                 "limits": [{"per": "hour", "tokens": 7, "usd": 0.1, "warn_at": 0.5}]},
            ],
            "budgets": {"default": [{"per": "minute", "requests": 60}], "tenants": {"acme": []}},
        }
    )  # fmt: skip
    limits = limit_set(file)
    assert limits.of("acme", "k") == (
        Limit(Owner.KEY, "k", Period.HOUR, Unit.TOKENS, 7, 0.5),
        Limit(Owner.KEY, "k", Period.HOUR, Unit.USD, 100_000_000, 0.5),
    )
    assert limits.of("globex", "") == (Limit(Owner.TENANT, "globex", Period.MINUTE, Unit.REQUESTS, 60),)


def test_limits_that_apply_are_taken(tmp_path: Path) -> None:
    assert told(tmp_path, "{default: [{per: day, tokens: 5}], tenants: {acme: [{per: month, requests: 9}]}}") == []
    assert told(tmp_path, key=", routes: [support], limits: [{per: minute, requests: 1}]") == []


@pytest.mark.parametrize(
    ("budgets", "key", "expected"),
    [
        ("{tenants: {acmee: []}}", "", "3: budgets.tenants.acmee: no key is of tenant 'acmee'"),
        ("{default: [{per: day}]}", "", "3: budgets.default.0: expected requests, tokens or usd"),
        ("{default: [{per: week, tokens: 1}]}", "", "3: budgets.default.0.per: expected"),
        ("{default: [{per: day, tokens: 1}, {per: day, tokens: 2}]}", "", "3: budgets.default.1.tokens: tokens"),
        ("{default: [{per: day, tokens: 0}]}", "", "3: budgets.default.0.tokens: expected at least 1"),
        ("{default: [{per: day, usd: 1}]}", "", "3: budgets.default.0.usd: backend 'local' has no prices"),
        ("{lease: 1}", "", "3: budgets.lease: expected at least 5"),
        ("{without_store: maybe}", "", "3: budgets.without_store: expected"),
        ("{}", ", routes: [nowhere]", "2: keys.0.routes.0: no route 'nowhere'; known: support"),
        ("{}", ", routes: []", "2: keys.0.routes: expected at least 1"),
        ("{}", ", limits: [{per: day, usd: 1}]", "2: keys.0.limits.0.usd: backend 'local' has no prices"),
    ],
)  # fmt: skip
def test_what_would_not_apply_is_refused_by_field(tmp_path: Path, budgets: str, key: str, expected: str) -> None:
    (problem,) = told(tmp_path, budgets, key)
    assert problem.startswith(expected), problem
