"""A route's digest is that of its content, in every process the same."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from trivet.config import load_config
from trivet.routing.content import content_digest
from trivet.types.variant import CacheScope, Route, Variant, VersionRef

ROOT = Path(__file__).parents[2]
ROUTE = Route(
    "r", {"v": Variant("v", "b", VersionRef("p", "1"))}, {"v": 1}, "salt", allow=frozenset({"tools", "system", "top_p"})
)


def test_each_part_counts_but_for_the_revision() -> None:
    assert content_digest(replace(ROUTE, revision=7)) == content_digest(ROUTE)
    others = (
        replace(ROUTE, allow=frozenset({"tools"})),
        replace(ROUTE, cache=CacheScope.TENANT),
        replace(ROUTE, salt="s"),
    )
    assert len({content_digest(ROUTE), *map(content_digest, others)}) == 4


def test_every_route_of_the_demo_has_one() -> None:
    assert len({content_digest(route) for route in load_config(ROOT / "trivet.yaml").routes.values()}) > 4


@pytest.mark.process
def test_another_process_has_the_same() -> None:
    """Sets have another order there."""
    script = "from tests.routing.test_content import ROUTE, content_digest; print(content_digest(ROUTE))"
    for seed in ("1", "2", "3"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT / 'server'}:{ROOT}"}
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
        )
        assert done.stdout.strip() == content_digest(ROUTE)
