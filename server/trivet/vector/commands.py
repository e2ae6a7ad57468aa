"""What the process that started this one asks for beside Qdrant's protocol: a JSON line on stdin, one back on stdout.

    {"id", "do": "ping"}
    {"id", "do": "info"}                      what is known of each collection
    {"id", "do": "problems"}                  why collections could not be opened, by name
    {"id", "do": "set_aside", "name"}         close one that cannot be read, and keep its files elsewhere
    {"id", "do": "attach", "name", "folder"}  take over the folder of a finished collection
    {"id", "do": "detach", "name", "folder"}  give one back

The answer: {"event": "done", "id", "result"} or {"event": "failed", "id", "kind": "missing" | "refused", "message"}.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trivet.vector.engine.collection_loader import is_fault
from trivet.vector.engine.collections import Collections
from trivet.vector.engine.lock import FolderLock
from trivet.vector.strict import Missing

_log = logging.getLogger(__name__)


class Commands:
    """Runs commands between two calls of the protocol, as atomic to those as they are to each other."""

    def __init__(self, collections: Collections) -> None:
        self._collections = collections
        self._known: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
            "ping": lambda _command: None,
            "info": self._info,
            "problems": lambda _command: dict(collections.problems),
            "set_aside": lambda command: collections.set_aside(command["name"]),
            "attach": self._attach,
            "detach": self._detach,
        }

    def run(self, line: bytes) -> Mapping[str, Any]:
        """The answer to a line."""
        command = json.loads(line)
        answer = {"id": command["id"]}
        try:
            return {**answer, "event": "done", "result": self._known[command["do"]](command)}
        except Missing as error:
            return {**answer, "event": "failed", "kind": "missing", "message": str(error)}
        except BaseException as error:
            if not is_fault(error):
                raise
            _log.exception("%s failed", command["do"])
            return {**answer, "event": "failed", "kind": "refused", "message": str(error)}

    def _info(self, _command: Mapping[str, Any]) -> Any:
        return {
            name: {"points": one.points, "unoptimised": one.unoptimised, "unflushed": one.unflushed}
            for name, one in self._collections
        }

    def _attach(self, command: Mapping[str, Any]) -> None:
        folder = _absolute(command["folder"])
        owner = folder.parent.parent
        # A collection that another vector process still has open must not move under its feet.
        lock = FolderLock(owner) if FolderLock.used(owner) else None
        try:
            self._collections.attach(command["name"], folder)
        finally:
            if lock is not None:
                lock.release()

    def _detach(self, command: Mapping[str, Any]) -> None:
        self._collections.detach(command["name"], _absolute(command["folder"]))


def _absolute(folder: str) -> Path:
    path = Path(folder)
    if not path.is_absolute():  # whose working directory would it be relative to?
        raise ValueError(f"expected an absolute path, got {folder}")
    return path
