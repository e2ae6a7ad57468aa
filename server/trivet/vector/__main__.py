"""`python -m trivet.vector --data DIR [--listen 127.0.0.1:0]`: started and supervised by the gateway.

With `--optimize NAME` it serves nothing, but optimises a collection of the folder and ends. With `--key-file FILE` it
serves several gateways of this machine: it is started by hand or by a supervisor of services, and whoever has the key
in the file may call it (`qdrant.api_key_file` of the gateways).

Without a key file it ends with its parent, and, serving, when its stdin ends.

Exit codes: 0 stopped, 1 failed, 2 usage, 3 the folder is
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
from trivet.vector.key import read_key
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
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="serve whoever has the key in it")
    arguments = parser.parse_args()
    try:
        loopback(arguments.listen)
        key = "" if arguments.key_file is None else read_key(arguments.key_file)
    except ValueError as error:
        parser.error(str(error))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if not key:
        die_with_parent()
    if arguments.nice:
        os.nice(arguments.nice)
        if os.getsid(0) != os.getpid():  # who leads a session has a group of its own already
            os.setpgid(0, 0)  # Ctrl-C in a terminal is for our parent
    try:
        if arguments.optimize is not None:
            optimise(arguments.data, arguments.optimize)
        else:
            asyncio.run(serve(arguments.data, arguments.listen, sets_aside=not arguments.look, key=key))
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
