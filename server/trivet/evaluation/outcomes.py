"""What was answered, kept as JSON lines: written once per request, never changed, never asked for again."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from trivet.errors import FailedPrecondition


@dataclass(frozen=True, slots=True)
class Outcome:
    """One arm's answer to one example, with what its receipt says. None: not known.

    `error` is the failed call's code and message, empty otherwise. `cited`: the ids of the cited documents, best first.
    `cost` in nano-USD. Times in milliseconds, measured by the server.
    """

    suite: str
    arm: str
    example: str
    text: str
    error: str = ""
    cited: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()
    finish: str = ""
    ttft_ms: float | None = None
    total_ms: float | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    cost: int | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Suite digest, arm, example."""
        return self.suite, self.arm, self.example


class OutcomeLog:
    """An append-only file of outcomes with one writer at a time. Safe to share between threads.

    A line counts once its newline is there: what a killed writer left half-written is cut off at the next start, and
    asked again.
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        """Open for appending, emptied first if `fresh`; FailedPrecondition if another process writes it, or if it is
        damaged."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = threading.Lock()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._own()
            if fresh:
                os.ftruncate(self._descriptor, 0)
            self._outcomes = self._read()
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> OutcomeLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    @property
    def outcomes(self) -> Mapping[tuple[str, str, str], Outcome]:
        """All of them by key."""
        return self._outcomes

    def add(self, outcome: Outcome) -> None:
        """Append one; it outlives this process once this returns. ValueError if its key is taken."""
        line = json.dumps(asdict(outcome), ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        with self._lock:
            if outcome.key in self._outcomes:
                raise ValueError(f"{outcome.key} has been answered already")
            view = memoryview(line)
            while view:
                view = view[os.write(self._descriptor, view) :]
            self._outcomes[outcome.key] = outcome

    def _own(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FailedPrecondition(f"another evaluation is writing {self.path}: wait for it, or stop it") from None

    def _read(self) -> dict[tuple[str, str, str], Outcome]:
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.ftruncate(self._descriptor, whole)
        found: dict[tuple[str, str, str], Outcome] = {}
        for number, line in enumerate(content[:whole].splitlines(), start=1):
            try:
                outcome = _outcome(json.loads(line.decode("utf-8", "surrogatepass")))
            except (ValueError, TypeError) as error:
                raise FailedPrecondition(f"{self.path}:{number}: damaged ({error}); --fresh begins anew") from error
            found.setdefault(outcome.key, outcome)
        return found


def _outcome(data: Any) -> Outcome:
    if not isinstance(data, dict) or set(data) != {field.name for field in fields(Outcome)}:
        raise ValueError("not the fields of an outcome")
    return Outcome(**{**data, "cited": tuple(data["cited"]), "degraded": tuple(data["degraded"])})
