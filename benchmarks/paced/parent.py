"""`trivet serve` of several front ends over a paced engine: `python -m benchmarks.paced.parent serve OPTIONS...`.

The parent and the front ends are the real ones. The parent is told to start its engine process as `served` does.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from trivet.app.processes import Commands
from trivet.app.project import read_checked
from trivet.app.serve import run_server
from trivet.cli.console.log import log_to_console
from trivet.cli.console.progress import LoggedProgress
from trivet.config import Overrides

LISTENERS = ("listen", "admin_listen", "metrics_listen", "http_listen")


def main() -> None:
    """Serve until SIGTERM, with the options of `trivet serve` that `ServerProcess` gives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    for name in LISTENERS:
        parser.add_argument(f"--{name.replace('_', '-')}", required=True)
    given = parser.parse_args()
    addresses = {name: getattr(given, name) for name in LISTENERS}
    where = ["--config", str(given.config), "--data-dir", str(given.data_dir)]
    commands = Commands(
        front_end=[sys.executable, "-m", "trivet.cli.child", "front-end", *where],
        engine=[sys.executable, "-m", "benchmarks.paced.served", "engine"],
    )
    log_to_console("text")
    run_server(
        partial(read_checked, given.config, Overrides(**addresses, data_dir=given.data_dir)), LoggedProgress(), commands
    )


if __name__ == "__main__":
    main()
