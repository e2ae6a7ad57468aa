"""`python -m trivet.retrieval.sources.worker`: mirrors one place, for the process that started it.

What it is to do comes as JSON on standard input; how far it is, then what it found or why it failed, go as lines of
JSON to standard output. It ends with its parent.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trivet.retrieval.processes.worker import begin
from trivet.retrieval.settings import CorpusSource
from trivet.retrieval.sources.git import GitRepository
from trivet.retrieval.sources.mirror import Mirror
from trivet.retrieval.sources.object_store import ObjectStore
from trivet.retrieval.sources.remote import Remote, SourceError
from trivet.retrieval.sources.website import Website

_SCRATCH = ".scratch"  # hidden: no build takes it
_BETWEEN_REPORTS = 0.2  # seconds


def main() -> int:
    """0 when the mirror is what the place is, but for what is told as failed."""
    answers = os.fdopen(begin(), "w")
    os.setpgid(0, 0)  # whoever kills it kills what it has started, too
    asked = json.loads(sys.stdin.read())
    source = CorpusSource(**{**asked["source"], "allow": tuple(asked["source"]["allow"])})

    def say(**told: Any) -> None:
        answers.write(json.dumps(told) + "\n")
        answers.flush()

    last = 0.0

    def progress(done: int, name: str) -> None:
        nonlocal last
        if time.monotonic() - last > _BETWEEN_REPORTS:
            last = time.monotonic()
            say(done=done, name=name)

    folder = Path(asked["folder"])
    scratch = folder / _SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)  # of one that was killed
    try:
        remote = open_remote(source, scratch, asked["max_files"], asked["max_bytes"])
        mirror = Mirror(folder, max_bytes=source.max_bytes)
        told: dict[str, Any] = {"report": asdict(mirror.bring(remote, source.url, progress))}
    except SourceError as error:
        told = {"error": str(error)}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    say(**told)  # the last thing: who reads it kills this process
    return int("error" in told)


def open_remote(source: CorpusSource, scratch: Path, max_files: int, max_bytes: int) -> Remote:
    """What a source's URL stands for. `scratch`: a folder that is not there, for what it has to keep meanwhile.
    `max_bytes`: of a file. Raises SourceError."""
    scheme = source.url.partition("://")[0]
    if scheme.startswith("git+"):
        return GitRepository(
            source.url,
            scratch,
            max_files=max_files,
            max_bytes=max_bytes,
            private=source.allow_private,
            timeout=source.timeout,
        )
    if scheme in ("https", "http"):
        private = source.allow_private
        return Website(source.url, source.allow, max_files=max_files, max_bytes=max_bytes, private=private)
    options: dict[str, Any] = {}
    if source.endpoint_url:
        options["endpoint_url"] = source.endpoint_url
    if source.region:
        options["client_kwargs"] = {"region_name": source.region}
    return ObjectStore(source.url, options, max_files=max_files, max_bytes=max_bytes)


if __name__ == "__main__":
    sys.exit(main())
