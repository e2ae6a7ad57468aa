"""From a source to a file of our own: bounded in bytes and in time, continued where it stopped."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import BinaryIO

from trivet.adapters.sources.source_file import SourceBroken, SourceChanged, SourceFile
from trivet.errors import AdapterRejected, AdapterSourceUnavailable

BLOCK_BYTES = 4 << 20
RETRIES = 5
FIRST_PAUSE = 0.2
RETRY_AFTER = 5.0
_CONTENT, _IDENTITY = "content", "identity.json"


class Download:
    """One file that is fetched into `target`; read-only and on the disk when it is there.

    `partial` is a folder for what an attempt that breaks off leaves behind, for the next one; one attempt at a time.
    `stop` ends it early.
    """

    def __init__(self, file: SourceFile, target: Path, partial: Path, stop: Event) -> None:
        self._file = file
        self._target = target
        self._partial = partial
        self._stop = stop

    def run(self, deadline: float, on_bytes: Callable[[int], None]) -> bool:
        """Fetch it before `deadline` (of time.monotonic); `on_bytes` is told how many bytes there are so far.

        Gives whether a part of it was here already. Raises AdapterRejected (more than was listed, or no plain file),
        AdapterSourceUnavailable (broken off for good, or out of time), SourceChanged (not what was listed any more).
        """
        had = self._begin()
        on_bytes(had)
        with (self._partial / _CONTENT).open("ab") as part:
            self._fill(part, deadline, on_bytes)
            part.flush()
            os.fsync(part.fileno())
        content = self._partial / _CONTENT
        content.chmod(0o400)
        content.rename(self._target)
        shutil.rmtree(self._partial)
        return had > 0

    def _begin(self) -> int:
        """How many bytes of this very content are there; whatever else is there is deleted."""
        identity = json.dumps([self._file.name, self._file.tag, self._file.size])
        content, about = self._partial / _CONTENT, self._partial / _IDENTITY
        if self._file.tag is not None and about.is_file() and content.is_file() and about.read_text() == identity:
            size = content.stat().st_size
            if size <= self._file.size:
                return size
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        about.write_text(identity)
        return 0

    def _fill(self, part: BinaryIO, deadline: float, on_bytes: Callable[[int], None]) -> None:
        failures = 0
        while True:
            before = part.tell()
            try:
                self._read_on(part, deadline, on_bytes)
                return
            except SourceBroken as problem:
                failures = 1 if part.tell() > before else failures + 1
                pause = FIRST_PAUSE * 2 ** (failures - 1)
                if failures > RETRIES or time.monotonic() + pause > deadline or self._stop.wait(pause):
                    raise AdapterSourceUnavailable(
                        f"{self._file.name} broke off after {part.tell()} of {self._file.size} bytes: {problem}",
                        RETRY_AFTER,
                    ) from problem

    def _read_on(self, part: BinaryIO, deadline: float, on_bytes: Callable[[int], None]) -> None:
        name, size = self._file.name, self._file.size
        with closing(self._file.open(part.tell())) as source:
            while part.tell() < size:
                if self._stop.is_set() or time.monotonic() > deadline:
                    why = "the server stops" if self._stop.is_set() else "it took too long"
                    raise AdapterSourceUnavailable(
                        f"{name} broke off after {part.tell()} of {size} bytes: {why}", RETRY_AFTER
                    )
                block = source.read(min(BLOCK_BYTES, size - part.tell()))
                if not block:
                    raise SourceBroken("it ended") if self._file.tag else SourceChanged
                if part.tell() + len(block) > size:
                    raise AdapterRejected(f"{name} has more than the {size} bytes that were listed for it")
                part.write(block)
                part.flush()
                on_bytes(part.tell())
