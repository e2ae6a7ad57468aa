"""The compiling process: the compiler that vLLM uses, in a child with limits, started again when it was ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.processes import gone
from trivet.backends.grammars.limits import TrialLimits
from trivet.backends.grammars.process import CompilerProcess
from trivet.backends.grammars.verdict import Outcome, Verdict

pytestmark = pytest.mark.process

VOCABULARY = [*(chr(code) for code in range(0x20, 0x7F)), "</s>"]
LIMITS = TrialLimits(cpu_seconds=0.3, memory_bytes=256 << 20)
SLOW: dict[str, Any] = {"enum": [f"value number {number}" for number in range(30_000)]}


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import xgrammar

    made = xgrammar.TokenizerInfo(VOCABULARY, xgrammar.VocabType.RAW, stop_token_ids=[len(VOCABULARY) - 1])
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.json"
    path.write_text(made.serialize_json())
    return path


@pytest_asyncio.fixture
async def process(vocabulary: Path) -> AsyncIterator[CompilerProcess]:
    made = CompilerProcess(vocabulary, LIMITS)
    yield made
    await made.stop()


async def tried(process: CompilerProcess, schema: Any) -> Verdict:
    return await process.compile(json.dumps(schema))


async def test_a_good_schema_is_accepted(process: CompilerProcess) -> None:
    verdict = await tried(process, {"type": "object", "properties": {"a": {"type": "integer"}}})
    assert (verdict.outcome, verdict.refusal) == (Outcome.ACCEPTED, "")
    assert 0 < verdict.memory_bytes < 1 << 20


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "strin"}, 'Unsupported type "strin"'),
        ({"type": "string", "pattern": "(?=a)b"}, "Lookahead assertion is not supported and is ignored"),
        ({"$ref": "#"}, "no value can fulfil it"),
    ],
)
async def test_what_the_compiler_refuses_or_warns_of_is_refused_in_its_words(
    process: CompilerProcess, schema: Any, words: str
) -> None:
    verdict = await tried(process, schema)
    assert verdict.outcome is Outcome.REFUSED
    assert words in verdict.refusal
    assert (await tried(process, {"type": "integer"})).outcome is Outcome.ACCEPTED


async def test_a_schema_beyond_its_time_ends_the_process_and_the_next_one_is_served(process: CompilerProcess) -> None:
    await process.start()
    first = process.pid
    verdict = await tried(process, SLOW)
    assert verdict == Verdict(Outcome.TOO_SLOW, "compiling it takes longer than 0.3 s of CPU time")
    assert (await tried(process, {"type": "integer"})).outcome is Outcome.ACCEPTED
    assert process.pid != first


async def test_a_schema_beyond_its_memory_is_refused(vocabulary: Path) -> None:
    process = CompilerProcess(vocabulary, TrialLimits(cpu_seconds=30, memory_bytes=16 << 20))
    try:
        assert (await tried(process, SLOW)).outcome is Outcome.TOO_LARGE
        assert (await tried(process, {"type": "integer"})).outcome is Outcome.ACCEPTED
    finally:
        await process.stop()


async def test_a_schema_whose_tokens_take_long_is_refused(vocabulary: Path) -> None:
    process = CompilerProcess(vocabulary, TrialLimits(cpu_seconds=30, step_seconds=1e-4))
    try:
        verdict = await tried(process, {"enum": [f"value number {number}" for number in range(10_000)]})
        assert verdict.outcome is Outcome.TOO_SLOW
        assert "a token of it takes" in verdict.refusal
    finally:
        await process.stop()


def hidden(first: Any) -> dict[str, Any]:
    """What is expensive, lists of texts that many patterns may go on with, comes after `first`."""
    patterns = [f"^.*[a-{chr(98 + number % 25)}]{{{number // 25}}}$" for number in range(150)]
    texts = [{"anyOf": [{"$ref": "#/$defs/lists"}, {"type": "string", "pattern": pattern}]} for pattern in patterns]
    return {
        "type": "object",
        "properties": {"a": first, "b": {"$ref": "#/$defs/lists"}},
        "required": ["a", "b"],
        "additionalProperties": False,
        "$defs": {"lists": {"anyOf": [{"type": "array", "items": text} for text in texts]}},
    }


@pytest.mark.parametrize(
    "first", [{"const": "x" * 400}, {"type": "string"}, {"type": "string", "minLength": 200}, {"type": "integer"}]
)
async def test_tokens_that_take_long_do_not_hide_behind_others(tmp_path: Path, first: Any) -> None:
    """With a vocabulary of pairs, as is usual, many of which end a text and go on."""
    import xgrammar

    letters = '"[],abcdefghijklmnopqrstuvwxyz'
    made = [*VOCABULARY[:-1], *(one + other for one in letters for other in letters), VOCABULARY[-1]]
    path = tmp_path / "vocabulary.json"
    path.write_text(
        xgrammar.TokenizerInfo(made, xgrammar.VocabType.RAW, stop_token_ids=[len(made) - 1]).serialize_json()
    )
    process = CompilerProcess(path, TrialLimits(cpu_seconds=30, step_seconds=4e-4))
    try:
        assert (await tried(process, hidden(first))).outcome is Outcome.TOO_SLOW
        plain = {"type": "object", "properties": {"a": first}, "required": ["a"], "additionalProperties": False}
        assert (await tried(process, plain)).outcome is Outcome.ACCEPTED
    finally:
        await process.stop()


async def test_a_process_that_is_killed_is_started_again(process: CompilerProcess) -> None:
    await process.start()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    assert (await tried(process, {"type": "integer"})).outcome is Outcome.ACCEPTED


async def test_it_inherits_no_sockets_and_loads_no_pytorch(process: CompilerProcess) -> None:
    with socket.socket() as held:
        await process.start()
        assert process.pid is not None
        opened, mapped = _opened(process.pid), _mapped(process.pid)
        ours = _opened(os.getpid())[held.fileno()]
    assert ours not in opened.values()
    assert sorted(opened)[:3] == [0, 1, 2]
    assert "libtorch" not in mapped


def _opened(pid: int) -> dict[int, str]:
    folder = Path(f"/proc/{pid}/fd")
    return {int(path.name): str(path.readlink()) for path in folder.iterdir() if path.is_symlink()}


def _mapped(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


async def test_cancelling_ends_it_and_leaves_no_process(process: CompilerProcess) -> None:
    await process.start()
    pid = process.pid
    assert pid is not None
    asking = asyncio.create_task(tried(process, SLOW))
    await asyncio.sleep(0.05)
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()
    assert gone(pid)
