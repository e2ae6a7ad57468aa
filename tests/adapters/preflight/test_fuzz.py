"""Ten thousand adapters that nobody meant: each is refused in words or accepted, and then it is served right."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.adapters.mutations import Mutant, Mutations
from tests.support.adapters.peft_answers import PeftAnswers, readable
from tests.support.engine.fixtures import SESSION_ENGINE, collect, request, text
from trivet.adapters.preflight.base_model import BaseModel
from trivet.adapters.preflight.preflight import check
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.errors import AdapterRejected
from trivet.types.variant import VersionRef

SEED = 20261122
CASES = 10_000
SAMPLE = 60
REF = VersionRef("tone", "1")
MAX_RANK = 8
PROMPT = tuple(range(9, 39))
TOKENS = 8


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where the machine has that."""
    memory = Path("/dev/shm")
    parent = memory / f"trivet-{tmp_path.parent.name}-{tmp_path.name}" if memory.is_dir() else tmp_path / "cases"
    (parent / "tone" / "1").mkdir(parents=True)
    yield parent / "tone" / "1"
    shutil.rmtree(parent)


def verdict(mutant: Mutant, folder: Path, base: BaseModel) -> AdapterRejected | None:
    """What the preflight says; whatever else it raises is its own mistake."""
    for name, content in mutant.files.items():
        (folder / name).write_bytes(content)
    try:
        check(folder, REF, base, MAX_RANK)
    except AdapterRejected as problem:
        return problem
    return None


@pytest.mark.process
@pytest.mark.timeout(600)  # a dozen seconds of work, on a machine that may be busy
def test_every_case_ends_in_a_verdict(folder: Path, tiny_model: Path) -> None:
    print(f"seed {SEED}")
    base, mutations = BaseModel(tiny_model), Mutations(SEED)
    accepted: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for number in range(CASES):
        mutant = mutations.next()
        try:
            problem = verdict(mutant, folder, base)
        except Exception as error:
            raise AssertionError(f"case {number}, {mutant.kind}") from error
        (accepted if problem is None else refused)[mutant.kind.partition(" ")[0]] += 1
        if problem is not None:
            assert str(problem).isprintable()
            assert 20 < len(str(problem)) <= 1100
    # Both verdicts come often enough to mean something.
    assert accepted.total() > CASES // 20
    assert refused.total() > CASES // 2
    assert set(accepted) == {"fields", "bytes", "entries", "numbers", "coherent"}


@pytest.mark.filterwarnings("ignore")  # PEFT's have the names that it got; no worker could pass some of them on
class TestOnTheEngine:
    """Of what is accepted, the changes that matter most; answers are compared with PEFT's."""

    pytestmark = SESSION_ENGINE

    async def test_what_is_accepted_is_served_as_peft_does(
        self, tiny_engine: EmbeddedVllm, tiny_model: Path, tmp_path: Path
    ) -> None:
        staging = AdapterStaging(AdapterSettings((tmp_path / "root",), tmp_path / "staged", tiny_model, MAX_RANK))
        peft, mutations = PeftAnswers(tiny_model), Mutations(SEED + 1)
        answers: set[str] = set()
        kinds: Counter[str] = Counter()
        while kinds.total() < SAMPLE:
            mutant = mutations.next()
            ref = VersionRef("tone", str(kinds.total()))
            folder = tmp_path / "root" / ref.name / ref.version
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for name, content in mutant.files.items():
                (folder / name).write_bytes(content)
            try:
                staged = await asyncio.to_thread(staging.stage, ref)
            except AdapterRejected:
                continue
            kinds[mutant.kind.partition(" ")[0]] += 1
            await tiny_engine.load_adapter(staged)
            given = readable(text(await collect(tiny_engine, request(PROMPT, staged, max_tokens=TOKENS))))
            await tiny_engine.unload_adapter(staged.engine_name)
            answers.add(given)
            assert given == await asyncio.to_thread(peft.text, staged.path, PROMPT, TOKENS), mutant
        assert len(answers) > SAMPLE // 4
        assert len(kinds) > 4
