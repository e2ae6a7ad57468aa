"""Says where the engine nodes of a Ray cluster are: one line of JSON each time it looks, until its parent ends.

A process of its own, because Ray's library ends the process it is in when the Ray node of this machine, or the
cluster's control service, is lost. Nothing but addresses comes through Ray.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from trivet.app.ray_cluster.connection import connect, engine_numbers
from trivet.vector.lifeline import die_with_parent

ASK_SECONDS = 2.0


class NamedEngines:
    """Asks each engine at most one question at a time: one that is waiting for its place would collect them."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._asked: dict[str, Any] = {}

    def look(self) -> list[str]:
        """The addresses of those that serve and answer."""
        ray, names = self._ray, set(engine_numbers(self._ray).values())
        self._asked = {name: asked for name, asked in self._asked.items() if name in names}
        for name in names - set(self._asked):
            try:
                self._asked[name] = ray.get_actor(name).told.remote()
            except ValueError:  # it has gone since
                continue
        waiting = {reference: name for name, reference in self._asked.items()}
        done, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=ASK_SECONDS) if waiting else ([], [])
        addresses = [self._address(self._asked.pop(waiting[reference])) for reference in done]
        return sorted(address for address in addresses if address)

    def _address(self, reference: Any) -> str:
        try:
            return str(self._ray.get(reference)[0])
        except self._ray.exceptions.RayError:  # it has died, and is started again or was removed
            return ""


def main(address: str, namespace: str, refresh: float) -> None:
    """For ever; a problem is a line, and the end."""
    die_with_parent()
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what Ray prints is no line of ours

    def tell(line: dict[str, Any]) -> None:
        lines.write(json.dumps(line) + "\n")
        lines.flush()

    try:
        engines = NamedEngines(connect(address, namespace))
        while True:
            tell({"known": engines.look()})
            time.sleep(refresh)
    except Exception as problem:
        tell({"problem": f"{type(problem).__name__}: {problem}"[:2000]})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
