"""`server.json` in the data folder: who serves it and where, for commands and tests on the same machine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path


class RuntimeInfo:
    """There while requests are served; written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "server.json"
        self.withdraw()  # a killed server left its own behind

    def publish(self, addresses: Mapping[str, str]) -> None:
        """Say that this process serves, and on which addresses."""
        draft = self._path.with_suffix(".tmp")
        draft.write_text(json.dumps({"pid": os.getpid(), **addresses}))
        draft.replace(self._path)

    def withdraw(self) -> None:
        """Say nothing any more."""
        self._path.unlink(missing_ok=True)
