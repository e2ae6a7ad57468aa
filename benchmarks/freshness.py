"""Does an acknowledged document stay, and is nothing else ever shown? The long version, through a real server.

    python benchmarks/freshness.py --kills 20 --seconds 600

4 writers replace and delete documents through `UpsertDocuments` and `DeleteDocuments`; 8 readers ask for them in other
words, through `Retrieve` and, every fourth time, through `Generate`. Meanwhile the vector process and the whole server
are killed with SIGKILL in turn. At the end the history is checked against the times of the acknowledgements. Exit code
1 if it shows anything lost, missing, stale, mixed or risen from the dead.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from cpu_time import descendants
from freshness_history import Read, Write, name, problems, question, text
from trivet.api.v1 import admin_pb2, inference_pb2
from trivet.cli.server_process import ServerProcess
from trivet.client import CallFailed, Client

WRITERS, READERS, DOCUMENTS = 4, 8, 8
INDEX, ROUTE = "handbook", "support"
_PAUSE = 0.1  # seconds after a call that failed
_TIMEOUT = 20.0


class Run:
    """The server that is up at the moment, and what was done to it."""

    def __init__(self, config: Path, data: Path) -> None:
        self._config = config
        self._data = data
        self.server: ServerProcess | None = None
        self.stop = threading.Event()
        self.writes: list[Write] = []
        self.reads: list[Read] = []
        self.failures: list[str] = []  # why: appended to by every thread

    def start(self) -> None:
        """Start the server; also after a kill."""
        self.server = ServerProcess(self._config, self._data).__enter__()

    def kill(self, whole: bool) -> None:
        """Kill the server, or its vector process alone, without a warning."""
        assert self.server is not None
        server = self.server
        victim = server.pid if whole else _vector_process(server.pid)
        os.kill(victim, signal.SIGKILL)
        print(f"killed {'the server' if whole else 'the vector process'}", flush=True)
        if whole:
            self.server = None
            server.wait()
            self.start()

    def write(self, seed: int, documents: range) -> None:
        """One writer; these documents are its own."""
        draw, number = random.Random(seed), 0
        while not self.stop.is_set():
            server = self.server
            if server is None:
                time.sleep(_PAUSE)
                continue
            number += 1
            document, deleting, parts = draw.choice(documents), draw.random() < 0.2, draw.choice((1, 2, 4))
            begun, acknowledged = time.monotonic(), None
            try:
                with Client(server.target, timeout=_TIMEOUT) as client:
                    if deleting:
                        client.delete_documents(INDEX, [name(document)])
                        refused = ""
                    else:
                        refused = _upsert(client, document, text(document, number, parts))
                acknowledged = None if refused else time.monotonic()
            except CallFailed as error:
                refused = f"{error.code} {error.reason}"
            if refused:
                self.failures.append(f"write: {refused}")
                time.sleep(_PAUSE)
            self.writes.append(
                Write(document, 0 if deleting else number, 0 if deleting else parts, begun, acknowledged)
            )

    def read(self, seed: int) -> None:
        """One reader."""
        draw = random.Random(seed)
        while not self.stop.is_set():
            server, document = self.server, draw.randrange(DOCUMENTS)
            if server is None:
                time.sleep(_PAUSE)
                continue
            whole, begun = draw.random() < 0.75, time.monotonic()
            try:
                with Client(server.target, timeout=_TIMEOUT) as client:
                    found = _retrieve(client, document) if whole else _generate(client, document)
            except CallFailed as error:
                self.failures.append(f"{'Retrieve' if whole else 'Generate'}: {error.code} {error.reason}")
                time.sleep(_PAUSE)
                continue
            self.reads.append(Read(document, begun, time.monotonic(), found, whole))


def _upsert(client: Client, document: int, content: str) -> str:
    """Why it was refused; empty if it was acknowledged."""
    made = admin_pb2.Document(id=name(document), content=content.encode(), format=admin_pb2.DOCUMENT_FORMAT_MARKDOWN)
    (done,) = client.upsert_documents([admin_pb2.UpsertDocumentsRequest(index=INDEX, document=made)])
    return f"{done.error.code} {done.error.reason}" if done.HasField("error") else ""


def _retrieve(client: Client, document: int) -> tuple[str, ...]:
    request = inference_pb2.RetrieveRequest(index=INDEX, text=question(document), top_k=100)
    return tuple(one.text for one in client.retrieve(request).citations if one.document_id == name(document))


def _generate(client: Client, document: int) -> tuple[str, ...]:
    message = inference_pb2.Message(role="user", content=question(document))
    response = client.generate(inference_pb2.GenerateRequest(route=ROUTE, messages=[message], max_tokens=1))
    return tuple(one.text for one in response.citations if one.document_id == name(document))


def _vector_process(server: int) -> int:
    """The server's child that serves vectors; waits for it where it is being started again."""
    end = time.monotonic() + _TIMEOUT
    while time.monotonic() < end:
        for pid in descendants(server):
            with contextlib.suppress(OSError):  # it has ended
                if b"trivet.vector" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    return pid
        time.sleep(_PAUSE)
    raise RuntimeError("the server has no vector process")


def main() -> int:
    """Run it; 1 if the history shows what must not be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("trivet.yaml"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=600.0, help="of writing and reading, starts not counted")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as data:
        run = Run(arguments.config, Path(data))
        run.start()
        share = DOCUMENTS // WRITERS
        work = [
            threading.Thread(target=run.write, args=(arguments.seed + n, range(n * share, (n + 1) * share)))
            for n in range(WRITERS)
        ]
        work += [threading.Thread(target=run.read, args=(arguments.seed + 100 + n,)) for n in range(READERS)]
        for thread in work:
            thread.start()
        try:
            for number in range(arguments.kills):
                time.sleep(arguments.seconds / (arguments.kills + 1))
                run.kill(whole=number % 2 == 1)
            time.sleep(arguments.seconds / (arguments.kills + 1))
        finally:  # also when a server does not start again: nothing must wait for it forever
            run.stop.set()
            for thread in work:
                thread.join()
            if run.server is not None:
                run.server.__exit__(None, None, None)
    found = problems(run.writes, run.reads)
    acknowledged = sum(write.acknowledged is not None for write in run.writes)
    generated = sum(not read.whole for read in run.reads)
    showing = sum(bool(read.texts) for read in run.reads)
    print(
        f"{len(run.writes)} writes, {acknowledged} acknowledged; {len(run.reads)} reads, "
        f"{generated} of them through Generate, {showing} that found the document; {len(run.failures)} calls failed; "
        f"{arguments.kills} kills; {len(found)} problems"
    )
    for reason, times in Counter(run.failures).most_common():
        print(f"failed {times} times: {reason}")
    print(*found[:20], sep="\n")
    return 1 if found or not acknowledged or not run.reads else 0


if __name__ == "__main__":
    sys.exit(main())
