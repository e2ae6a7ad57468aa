"""`python -m trivet.vector --data DIR [--listen 127.0.0.1:0]`: started and supervised by the gateway.

With `--optimize NAME` it serves nothing, but optimises a collection of the folder and ends.

Ends with its parent, and, serving, when its stdin ends. Exit codes: 0 stopped, 1 failed, 2 usage, 3 the folder is
another process's (the message names its pid, and so does the JSON line on stdout: `{"event": "refused", "pid",
"message"}`).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from trivet.errors import DataFolderInUse
from trivet.vector.lifeline import die_with_parent
from trivet.vector.server import announce, loopback, optimise, serve
from trivet.vector.strict import Missing

EXIT_FAILED = 1
EXIT_FOLDER_IN_USE = 3


def main() -> int:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m trivet.vector", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections; created if missing")
    parser.add_argument("--listen", default="127.0.0.1:0", help="loopback address and port, 0 for any free port")
    parser.add_argument("--optimize", metavar="NAME", help="optimise this collection instead of serving")
    parser.add_argument("--look", action="store_true", help="leave collections that cannot be opened where they are")
    parser.add_argument("--nice", type=int, default=0, metavar="N", help="lower the priority by so much")
    arguments = parser.parse_args()
    try:
        loopback(arguments.listen)
    except ValueError as error:
        parser.error(str(error))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    die_with_parent()
    os.nice(arguments.nice)
    try:
        if arguments.optimize is not None:
            optimise(arguments.data, arguments.optimize)
        else:
            asyncio.run(serve(arguments.data, arguments.listen, sets_aside=not arguments.look))
    except DataFolderInUse as error:
        announce({"event": "refused", "pid": error.pid, "message": str(error)})
        logging.getLogger(__name__).error("%s", error)
        return EXIT_FOLDER_IN_USE
    except Missing as error:
        logging.getLogger(__name__).error("%s", error)
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
