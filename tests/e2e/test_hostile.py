"""Every kind of hostile request, beside eight streams of another tenant."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.hostile.kinds import kinds
from benchmarks.hostile.run import measure
from tests.support.retrieval.exported_models import with_exports

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
MEMORY = 400 << 20  # bytes that the gateway may grow by: some messages have 9 MB, and several are under way


def test_each_kind_is_answered_with_its_reason_and_the_streams_go_on(tmp_path: Path, embedding_cache: Path) -> None:
    with_exports(tmp_path / "data", embedding_cache)
    known = kinds()
    results = measure(tmp_path, requests=2 * len(known), rate=30.0, seconds=2.0, per_kind=0, seed=7)
    assert results.problems == []
    assert {outcome.kind for outcome in results.outcomes} == {kind.name for kind in known}
    assert len(results.gaps["hostile"]) > 100
    assert results.memory["most"] < results.memory["before"] + MEMORY
    assert results.files["after"] <= results.files["before"] + 20
