"""Writers and readers through a real server; its vector process and then itself are
killed with SIGKILL."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from benchmarks.freshness.gateways import measure_gateways
from benchmarks.freshness.history import Read, Write, problems, text
from benchmarks.freshness.run import INDEX, PHASE, ROUTE, measure
from tests.support.retrieval.exported_models import with_exports

ROOT = Path(__file__).parents[2]
KILLS = 2  # the vector process, then the whole server
SECONDS = 30.0  # of writing and reading: a start is not counted


def write_config(folder: Path) -> Path:
    """The demo's route for these questions, with time for retrieval: this is not about speed. Its index is empty."""
    demo = yaml.safe_load((ROOT / "trivet.yaml").read_text())
    backend = demo["backends"]["local"]
    for name in [name for name in backend if "lora" in name]:
        del backend[name]
    backend |= {"model": str(ROOT / backend["model"]), "enable_lora": False}
    route = demo["routes"][ROUTE]
    route["retrieval"]["deadline_ms"] = 3000
    route["variants"]["rag"]["retrieval"]["top_k"] = 4
    (folder / INDEX / "corpus").mkdir(parents=True)
    (folder / INDEX / "index.yaml").write_text((ROOT / "indexes" / INDEX / "index.yaml").read_text())
    config = {
        "version": 1,
        "prompts": str(ROOT / "prompts"),
        "backends": {"local": backend},
        "indexes": {INDEX: INDEX},
        "routes": {ROUTE: route},
    }
    (folder / "trivet.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return folder / "trivet.yaml"


@pytest.mark.engine
@pytest.mark.embedding
@pytest.mark.timeout(900)  # the starts of a busy machine count too
def test_writing_and_reading_with_kills(tmp_path: Path, embedding_cache: Path) -> None:
    """Nothing acknowledged is lost, missing, stale, mixed or cited after its deletion."""
    data = with_exports(tmp_path / "data", embedding_cache)
    outcome = measure(write_config(tmp_path), data, SECONDS, KILLS, seed=11)
    assert outcome.problems() == []
    assert outcome.kills == {"the vector process": 1, "the server": 1}
    assert all(count >= (KILLS + 1) * least for count, least in zip(outcome.counts, PHASE, strict=True))
    assert any(write.number == 0 and write.acknowledged is not None for write in outcome.writes), "nothing was deleted"
    assert any(write.acknowledged is None for write in outcome.writes), "no kill hit a write"
    assert outcome.exit_code == 0
    failures = [why.split() for why in outcome.reasons]  # the call, the code, and the server's reason if it could say
    assert {code for _, code, *reason in failures if reason} <= {"UNAVAILABLE", "DEADLINE_EXCEEDED"}, outcome.reasons


@pytest.mark.process
@pytest.mark.embedding
@pytest.mark.timeout(900)
def test_two_gateways_over_one_store_with_kills(tmp_path: Path, embedding_cache: Path) -> None:
    """The same, wherever it is written and wherever it is asked, while any of them is killed."""
    data = tmp_path / "data"
    for gateway in ("gateway0", "gateway1"):
        with_exports(data / gateway, embedding_cache)
    outcome = measure_gateways(write_config(tmp_path), data, 12.0, 2, seed=5, gateways=2)
    assert outcome.problems() == []
    assert outcome.kills == {"a gateway": 1, "a gateway that builds": 1}
    assert outcome.built == 1
    assert any(write.number == 0 and write.acknowledged is not None for write in outcome.writes), "nothing was deleted"
    assert outcome.exit_code == 0
    failures = [why.split() for why in outcome.reasons]
    assert {code for _, code, *reason in failures if reason} <= {"UNAVAILABLE", "DEADLINE_EXCEEDED"}, outcome.reasons


def parts(number: int, many: int) -> tuple[str, ...]:
    """A version's passages."""
    return tuple(text(0, number, many).split("\n\n"))


WRITES = (
    Write(0, 1, 2, 1.0, 2.0),
    Write(0, 2, 1, 3.0, 4.0),
    Write(0, 0, 0, 5.0, 6.0),
    Write(0, 3, 1, 7.0, None),
    Write(0, 4, 1, 9.5, 9.6),
)


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(Read(0, 0.0, 0.5, ()), id="before it was written"),
        pytest.param(Read(0, 2.5, 2.6, parts(1, 2)), id="acknowledged"),
        pytest.param(Read(0, 2.5, 3.5, parts(1, 2)), id="before its replacement"),
        pytest.param(Read(0, 2.5, 3.5, parts(2, 1)), id="after its replacement"),
        pytest.param(Read(0, 2.5, 2.6, parts(1, 2)[:1], whole=False), id="a part, of which no more was asked for"),
        pytest.param(Read(0, 2.5, 2.6, (), whole=False), id="none, of which no more was asked for"),
        pytest.param(Read(0, 4.5, 5.5, ()), id="while it is deleted"),
        pytest.param(Read(0, 6.5, 6.6, ()), id="deleted"),
        pytest.param(Read(0, 8.0, 9.0, ()), id="without what nobody acknowledged"),
        pytest.param(Read(0, 8.0, 9.0, parts(3, 1)), id="with what nobody acknowledged"),
    ],
)
def test_what_a_history_may_show(read: Read) -> None:
    assert problems(WRITES, [read]) == []


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        pytest.param("missing", Read(0, 2.5, 3.5, ()), id="lost, and nothing is there"),
        pytest.param("stale", Read(0, 4.5, 4.6, parts(1, 2)), id="lost, and the one before is there"),
        pytest.param("stale", Read(0, 4.5, 4.6, parts(1, 2)[1:], whole=False), id="one old passage"),
        pytest.param("stale", Read(0, 9.7, 9.8, parts(3, 1)), id="older, though nobody acknowledged it"),
        pytest.param("mixed", Read(0, 2.5, 3.5, (*parts(1, 2), *parts(2, 1))), id="two versions"),
        pytest.param(
            "mixed", Read(0, 2.5, 3.5, (parts(1, 2)[1], *parts(2, 1)), whole=False), id="a passage each of two versions"
        ),
        pytest.param("in part", Read(0, 2.5, 3.5, parts(1, 2)[:1]), id="one of two parts"),
        pytest.param("in part", Read(0, 2.5, 2.6, (*parts(1, 2), parts(1, 2)[0])), id="one part twice"),
        pytest.param("deleted", Read(0, 6.5, 6.6, parts(2, 1)), id="after its deletion"),
        pytest.param("deleted", Read(0, 6.5, 6.6, parts(1, 2)[:1], whole=False), id="cited after its deletion"),
    ],
)
def test_what_a_history_must_not_show(kind: str, read: Read) -> None:
    (problem,) = problems(WRITES, [read])
    assert problem.startswith(f"{kind}:")
