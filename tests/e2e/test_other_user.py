"""Another user of the machine, beside a whole running server: what it reaches, reads and learns."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from qdrant_client.grpc import collections_pb2, collections_service_pb2_grpc

from tests.support.gateway.serving import children, engine
from trivet.cli.server.process import ServerProcess
from trivet.client import Client

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
]

LISTENING = "0A"  # of TCP, as /proc/net/tcp writes it

# Run as "nobody": for each thing to try, whether it could be done.
ATTACK = r"""
import json, os, socket, sys

def list_folder(path): os.listdir(path)
def read(path): open(path, "rb").read(1)
def write(path): open(path, "ab").close()
def connect_any_unix(path):
    path = "\0" + path[1:] if path.startswith("@") else path
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        try:
            return socket.socket(socket.AF_UNIX, kind).connect(path)
        except OSError as error:
            last = error
    raise last
def read_memory(pid): open(f"/proc/{pid}/mem", "rb").read(1)
def stop(pid): os.kill(int(pid), 19)

done = []
for action, target in json.load(sys.stdin):
    try:
        globals()[action](target)
        done.append([action, target])
    except OSError:
        pass
print(json.dumps({"uid": os.getuid(), "done": done}))
"""


@dataclass(frozen=True, slots=True)
class Listening:
    """A TCP socket that waits for connections. `address` as host:port."""

    pid: int
    address: str


def tree(pid: int) -> Iterator[int]:
    """The process and all below it."""
    yield pid
    for one in children(pid):
        yield from tree(one.pid)


def descriptors(pid: int) -> Iterator[tuple[str, str]]:
    """A process's open files: number and what it is; nothing of one that has ended."""
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # it was closed meanwhile
                yield link.name, str(link.readlink())
    except FileNotFoundError:
        return


def sockets(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    return {target[8:-1] for _, target in descriptors(pid) if target.startswith("socket:[")}


def listening(pids: list[int]) -> list[Listening]:
    """What these processes listen on; a socket that several of them have is the first one's."""
    found: dict[str, Listening] = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] != LISTENING:
                continue
            owner = next((pid for pid in pids if fields[9] in sockets(pid)), None)
            if owner is not None:
                host, port = fields[1].split(":")
                found[fields[9]] = Listening(owner, f"{_host(host)}:{int(port, 16)}")
    return list(found.values())


def unix_paths(pids: list[int]) -> set[str]:
    """The named Unix sockets of these processes; abstract ones, which no folder protects, begin with "@"."""
    mine = set().union(*map(sockets, pids))
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return {fields[7] for fields in lines if len(fields) > 7 and fields[6] in mine}


def _host(written: str) -> str:
    """IPv4 in the byte order of the machine, hexadecimal; of IPv6 only what stands for an IPv4 address."""
    four = written[-8:]
    return ".".join(str(int(four[at : at + 2], 16)) for at in (6, 4, 2, 0))


def as_nobody(tries: list[tuple[str, str]]) -> list[list[str]]:
    """What another user got done of these."""
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", ATTACK],
        input=json.dumps(tries),
        user="nobody",
        group="nogroup",
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["uid"] != 0
    found: list[list[str]] = told["done"]
    return found


def test_it_reads_and_changes_nothing_of_the_server(server: ServerProcess) -> None:
    pids = list(tree(server.pid))
    files = [path for path in server.data_dir.rglob("*") if path.is_file()]
    named = unix_paths(pids)
    assert len(pids) >= 4, "the server, the vector engine, the engine, the embedding of passages"
    assert {path.name for path in files} >= {"documents.sqlite", "receipts.jsonl", "server.json"}
    # An engine that was killed leaves its queues there until the next start of this folder.
    queues = {path.name for path in (server.data_dir / "cache" / "sockets" / "local").iterdir() if path.is_socket()}
    assert len({Path(name).name for name in named} & queues) >= 2, "the engine's message queues"
    tries = [("list_folder", str(server.data_dir)), ("list_folder", str(server.data_dir / "logs"))]
    tries += [(action, str(path)) for path in files for action in ("read", "write")]
    assert not [name for name in named if name.startswith("@")], "abstract sockets: anybody may connect"
    tries += [("connect_any_unix", name) for name in named]
    tries += [("connect_any_unix", str(path)) for path in (server.data_dir / "cache" / "sockets").rglob("*")]
    for pid in pids:
        tries += [("read", f"/proc/{pid}/environ"), ("list_folder", f"/proc/{pid}/fd")]
        tries += [("read_memory", str(pid)), ("stop", str(pid))]
    assert as_nobody([("read", "/etc/passwd")]) == [["read", "/etc/passwd"]], "else nothing is tried at all"
    assert as_nobody(tries) == []


def test_what_is_written_elsewhere_is_not_for_others(server: ServerProcess) -> None:
    for pid in tree(server.pid):
        for number, target in descriptors(pid):
            path = Path(target)
            outside = path.is_absolute() and not path.is_relative_to(server.data_dir)
            if not outside or not path.is_file() or not _written(pid, number):
                continue
            closed = [folder for folder in path.parents if not folder.stat().st_mode & 0o001]
            assert closed or not path.stat().st_mode & 0o077, f"{path} of process {pid}"


def test_an_abstract_socket_of_the_server_would_be_found_and_reached() -> None:
    """The test above could fail."""
    name = f"@doors-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("\0" + name[1:])
        listening.listen()
        assert name in unix_paths([os.getpid()])
        assert as_nobody([("connect_any_unix", name)]) == [["connect_any_unix", name]]


def test_shared_memory_is_not_for_others(server: ServerProcess) -> None:
    """Segments that are mapped, those without a name in a folder included."""
    for pid in tree(server.pid):
        mapped = {line.split(maxsplit=5)[5] for line in _maps(pid) if " /dev/shm/" in line}
        for name in mapped:
            path = Path(name)
            assert not path.exists() or not path.stat().st_mode & 0o077, f"{path} of process {pid}"


def test_nothing_is_received_by_udp(server: ServerProcess) -> None:
    mine = set().union(*map(sockets, tree(server.pid)))
    for table in ("udp", "udp6", "raw", "raw6"):
        lines = [line.split() for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
        assert not [fields for fields in lines if fields[9] in mine], table


def test_no_command_line_and_no_environment_holds_a_secret(server: ServerProcess) -> None:
    """The vector process's key has 64 digits. Root can read environments, and so can a debugger of the same user."""
    for pid in tree(server.pid):
        for name in ("cmdline", "environ"):
            text = Path(f"/proc/{pid}/{name}").read_text(errors="replace")
            assert not re.search(r"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])", text), f"{name} of {pid}"


def test_nothing_listens_but_what_the_documentation_says(server: ServerProcess) -> None:
    pids = list(tree(server.pid))
    found = listening(pids)
    assert {one.address.rpartition(":")[0] for one in found} == {"127.0.0.1"}
    assert server.target.admin_address is not None
    own = {server.target.address, server.target.admin_address, server.metrics_address, server.http_address}
    assert {one.address for one in found if one.pid == server.pid} == own
    engines = set(tree(engine(server, "local")))
    rest = [one for one in found if one.pid != server.pid and one.pid not in engines]
    assert len(rest) == 1, "the vector process"
    channel = grpc.insecure_channel(rest[0].address)
    service: Any = collections_service_pb2_grpc
    with pytest.raises(grpc.RpcError) as refused:
        service.CollectionsStub(channel).List(collections_pb2.ListCollectionsRequest(), timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    channel.close()


def test_the_server_goes_on_meanwhile(client: Client) -> None:
    assert client.list_routes().routes


def _maps(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines()


def _written(pid: int, fd: str) -> bool:
    """Whether the process has the file open for writing."""
    flags = re.search(r"^flags:\s+(\d+)", Path(f"/proc/{pid}/fdinfo/{fd}").read_text(), re.MULTILINE)
    assert flags is not None
    return int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY
