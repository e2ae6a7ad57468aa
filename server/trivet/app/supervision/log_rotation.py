"""Bounds the logs that child processes write by themselves, without asking them for anything."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger(__name__)

INTERVAL = 10.0  # seconds


class LogRotation:
    """Looks after `*.log` of a folder: what is larger than `file_bytes` is copied to `NAME.1` and emptied.

    Of each log `files` copies stay, `.1` the newest. A child goes on writing to the same open file: it was opened for
    appending, so that its next line is the first one of the emptied file. What it writes between the copy and the
    emptying, well under a second, is lost; renaming would lose nothing, but needs the child's help.
    """

    def __init__(self, folder: Path, file_bytes: int, files: int, interval: float = INTERVAL) -> None:
        self._folder = folder
        self._file_bytes = file_bytes
        self._files = files
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look every `interval` seconds until `close`."""
        self._task = asyncio.create_task(self._watch(), name="log rotation")

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def look(self) -> None:
        """Once, now. Blocks; for a thread."""
        for log in sorted(self._folder.glob("*.log")):
            try:
                if log.stat().st_size > self._file_bytes:
                    self._rotate(log)
            except OSError as error:
                logger.error("the log %s cannot be rotated: %s", log.name, error)

    def _rotate(self, log: Path) -> None:
        for number in range(self._files, 1, -1):
            with suppress(FileNotFoundError):
                _numbered(log, number - 1).rename(_numbered(log, number))
        try:
            with log.open("rb") as source, _numbered(log, 1).open("wb") as target:
                os.fchmod(target.fileno(), 0o600)
                shutil.copyfileobj(source, target)
        finally:  # also when the disk is too full for a copy: then the bound matters most
            os.truncate(log, 0)

    async def _watch(self) -> None:
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(self._interval)


def _numbered(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
