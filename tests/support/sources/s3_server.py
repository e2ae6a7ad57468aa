"""A local S3 server in a process of its own, for it imports what vLLM cannot bear in the process that it starts from.

Run as a script it serves until its stdin ends, and says its port on stdout.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

HOST = "127.0.0.1"


@contextmanager
def s3_server() -> Iterator[tuple[str, int]]:
    """Serve on a free port of this machine; gives host and port."""
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        assert said, "the S3 server did not start"
        yield HOST, int(said)
    finally:
        process.stdin.close()
        process.wait(20)


def main() -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    server.start()
    print(server.get_host_and_port()[1], flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
