"""Mirroring an index's source, by a process that may be killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trivet.errors import RetrievalUnavailable
from trivet.retrieval.settings import IndexSettings
from trivet.types.corpus import SyncReport
from trivet.types.passage import BuildProgress
from trivet.vector.lifeline import environment_of_child

_log = logging.getLogger(__name__)

_LINE = 1 << 20  # bytes of one report
_WORKER = "trivet.retrieval.sources.worker"


async def sync(settings: IndexSettings) -> AsyncGenerator[BuildProgress | SyncReport]:
    """Bring the corpus folder up to the index's source, if it has one: progress ("fetch"), then the report.

    Raises RetrievalUnavailable if the place cannot be reached or listed, or it takes too long: the folder then has what
    was fetched so far, and nothing was removed. Cancelled, it ends the process.
    """
    source = settings.source
    if source is None:
        return
    asked = {
        "source": asdict(source),
        "folder": str(settings.corpus),
        "max_files": settings.selection.max_files,
        "max_bytes": settings.max_document_bytes,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-m", _WORKER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE,
        env=environment_of_child(),
    )
    try:
        async with asyncio.timeout(source.timeout):
            async for told in _lines(process, json.dumps(asked).encode()):
                if "error" in told:
                    raise RetrievalUnavailable(
                        f"index {settings.name!r}: its source: {told['error']}", retry_after=60.0
                    )
                if "report" in told:
                    report = _report(told["report"])
                    _tell(settings, report)
                    yield report
                    return
                yield BuildProgress("fetch", told["done"], 0, told["name"])
        raise RetrievalUnavailable(
            f"index {settings.name!r}: the process that fetches its source ended", retry_after=60.0
        )
    except TimeoutError:
        raise RetrievalUnavailable(
            f"index {settings.name!r}: its source took longer than {source.timeout:.0f} s; "
            "the next sync goes on from there",
            retry_after=60.0,
        ) from None
    finally:
        if process.returncode is None:
            _kill(process)
        await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    """It and what it has started: git, and git's own helpers."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # it has no group of its own yet, and nothing was started
        with contextlib.suppress(ProcessLookupError):
            process.kill()


async def _lines(process: asyncio.subprocess.Process, asked: bytes) -> AsyncGenerator[dict[str, Any]]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(asked)
    process.stdin.close()
    async for line in process.stdout:
        yield json.loads(line)


def _report(told: dict[str, Any]) -> SyncReport:
    failed = tuple((where, why) for where, why in told["failed"])
    return SyncReport(**{**told, "failed": failed, "first_missing": tuple(told["first_missing"])})


def _tell(settings: IndexSettings, report: SyncReport) -> None:
    assert settings.source is not None
    _log.info(
        "index %s: synced from %s: %d new, %d changed, %d gone, %d as before, %d failed",
        settings.name, settings.source.url, report.added, report.changed, report.removed, report.unchanged,
        report.failures,
    )  # fmt: skip
    for where, why in report.failed:
        _log.warning("index %s: %s could not be fetched: %s", settings.name, where, why)


def mirror_folder(sources: Path, index: str) -> Path:
    """Where the files of an index's source are, in the data folder's `sources`."""
    return sources / index
