"""Schemas of variants: held to the same rules and bounds as those of clients, at the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.config import load_config
from trivet.config.checks import schema_limits
from trivet.config.schema import Schemas
from trivet.errors import ConfigError
from trivet.schemas.limits import DEFAULT_LIMITS

FILE = """\
version: 1
{section}
backends:
  local: {{kind: embedded, model: model}}
routes:
  support:
    variants:
      a:
        weight: 1
        backend: local
        prompt: p@1
        json_schema: {schema}
"""


def problems(folder: Path, schema: str, section: str = "") -> tuple[str, ...]:
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "config.json").write_text("{}")
    (folder / "prompts" / "p").mkdir(parents=True, exist_ok=True)
    (folder / "prompts" / "p" / "1.md").write_text("Answer.")
    path = folder / "trivet.yaml"
    path.write_text(FILE.format(schema=schema, section=section))
    try:
        load_config(path)
    except ConfigError as error:
        return error.problems
    return ()


def test_a_schema_that_is_not_enforced_is_a_problem_with_line_and_place(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "{type: object, properties: {a: {type: string, not: {const: b}}}}")
    assert "trivet.yaml:12: routes.support.variants.a.json_schema: at /properties/a/not: is not enforced" in problem


def test_bounds_come_from_the_section(tmp_path: Path) -> None:
    schema = "{enum: [one, two, three]}"
    assert problems(tmp_path, schema) == ()
    (problem,) = problems(tmp_path, schema, "schemas: {max_values: 2}")
    assert "more than 2 values in all (max_values)" in problem


@pytest.mark.parametrize("schema", ["{default: 2026-01-01}", "{const: .nan}", "{1: a}"])
def test_yaml_that_is_no_json_is_a_problem(tmp_path: Path, schema: str) -> None:
    assert problems(tmp_path, schema)


def test_the_defaults_are_the_same_everywhere() -> None:
    assert schema_limits(Schemas()) == DEFAULT_LIMITS
