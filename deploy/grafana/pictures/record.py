"""What a real Prometheus says to each query of the dashboards, after it has watched a real gateway live through a lot.

    python -m deploy.grafana.pictures.record FILE         some four minutes

The gateway, its engine and what happens to them are those of `tests/deploy/test_every_query.py`: requests of every
kind, mistakes, an outage of the vector engine, rollouts with a shadow, a reload, an engine that is killed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.monitoring.queries import boards, chosen, panels
from tests.support.monitoring.scenario import Scenario, watching, write_config
from tests.support.prometheus import Prometheus
from trivet.cli.server.process import ServerProcess
from trivet.client import Client

INTERVAL = "15s"
STEP = 2.0  # seconds


def main() -> None:
    """Play the scenario and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            ServerProcess(write_config(folder), folder / "data", output=folder / "trivet.log") as server,
            Client(server.target, timeout=60) as client,
            watching(server, folder) as prometheus,
        ):
            list(client.build_index("handbook"))
            start = time.time()
            Scenario(server, client).play()
            time.sleep(5)
            given.file.write_text(json.dumps(recorded(prometheus, start, time.time())))


def recorded(prometheus: Prometheus, start: float, end: float) -> dict[str, Any]:
    """Dashboards as they are committed, each target with the `series` that answer it."""
    span = f"{round(end - start)}s"
    found = boards()
    for board in found:
        for panel in panels(board):
            for target in panel["targets"]:
                asked = chosen(target["expr"], board, interval=INTERVAL, span=span)
                if target.get("instant"):
                    target["series"] = prometheus.query(asked)
                else:
                    target["series"] = prometheus.query_range(asked, start, end, STEP)
    return {"from": start, "to": end, "boards": found}


if __name__ == "__main__":
    main()
