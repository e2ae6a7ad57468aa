"""Each alert caused for real, and heard through a real Alertmanager.

    python -m benchmarks.alerts --to benchmarks/results

How it is measured

- One server over a PostgreSQL server; a real Prometheus with the project's recording rules and alerts, a real
  Alertmanager with the project's routes and inhibitions, and a webhook in place of each receiver.
- The rules' clock is faster: every span of time in them (windows, offsets, `for`) is divided by `--faster`, and they
  are evaluated every second. Thresholds are as they are. An engine cannot be started three times in a hundredth of half
  an hour, so that one's clock is ten times as fast.
- Each cause goes on until its alerts are heard, and then it is mended until their ends are heard.

What it does not show

- How long an alert takes in production: about its own windows and `for`, which the page does not show.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.alerts.causes import Causes, Found
from benchmarks.alerts.watch import FOLDER, watching
from benchmarks.alerts.world import write_config
from benchmarks.measuring.machine import command, describe, machine_lines
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tables import table
from tests.support.stores.postgres_server import postgres_server
from trivet.cli.server.process import ServerProcess
from trivet.client import Client


def main() -> int:
    """Cause everything and write the page; 1 if an alert that was caused was not heard, or its end was not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faster", type=float, default=100.0, help="how much faster the rules' clock is")
    parser.add_argument("--only", nargs="*", default=[], help="names of causes (benchmarks/alerts/causes.py)")
    parser.add_argument("--to", type=Path, help="folder for alerts.md; printed by default")
    given = parser.parse_args()
    machine = describe(ROOT)
    with tempfile.TemporaryDirectory() as name:
        found = _measure(Path(name), given.faster, given.only)
    missed = [one.alert for one in found if one.fired is None or one.resolved is None]
    lines = ["# Alerts", "", *_table(found), ""]
    if not given.only:
        missed += sorted(_alerts() - {one.alert for one in found})
        lines += [f"The project has {len(_alerts())} alerts."]
    lines += [f"Not heard, or not their end: {', '.join(missed) or 'none'}."]
    page = "\n".join([*lines, *method(__doc__), "", *machine_lines(machine), f"- `{command('alerts')}`", ""])
    if given.to is None:
        print(page)
    else:
        (given.to / "alerts.md").write_text(page)
    return 1 if missed else 0


def _measure(folder: Path, factor: float, only: list[str]) -> list[Found]:
    with postgres_server() as postgres:
        config = write_config(folder, postgres.new_database())
        with (
            ServerProcess(config, folder / "data", output=folder / "server.log") as server,
            Client(server.target, timeout=60) as client,
        ):
            list(client.build_index("handbook"))
            with watching(server.metrics_address, folder, factor) as watch:
                causes = Causes(server, client, postgres, watch)
                causes.all(only)
    return causes.found


def _table(found: list[Found]) -> list[str]:
    rows = [[one.alert, one.cause, one.receiver, _seconds(one.fired), _seconds(one.resolved)] for one in found]
    return list(table(["alert", "cause", "heard by", "s until heard", "s from its end until that was heard"], rows))


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f}"


def _alerts() -> set[str]:
    groups = yaml.safe_load((FOLDER / "rules" / "alerts.yml").read_text())["groups"]
    return {rule["alert"] for group in groups for rule in group["rules"]}


if __name__ == "__main__":
    sys.exit(main())
