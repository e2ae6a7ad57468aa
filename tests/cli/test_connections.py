"""A call that comes to no server, or to a wrong one, is told in plain words and blamed on what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import grpc
import pytest
from click.testing import CliRunner, Result

from tests.support.gateway.certificates import self_signed
from trivet.cli.main import main

NOBODY = "127.0.0.1:1"


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner(env={"TRIVET_ADDRESS": NOBODY, "TRIVET_ADMIN_ADDRESS": NOBODY, **environment}).invoke(
        main, arguments
    )


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """Starts a gRPC server without any method; returns its port."""
    servers = []

    def start(credentials: grpc.ServerCredentials | None = None) -> int:
        server = grpc.server(ThreadPoolExecutor(2))
        servers.append(server)
        port = (
            server.add_insecure_port("127.0.0.1:0")
            if credentials is None
            else server.add_secure_port("127.0.0.1:0", credentials)
        )
        server.start()
        return port

    yield start
    for server in servers:
        server.stop(None)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("nonsense", "Invalid value for --address: expected host:port, such as 127.0.0.1:7600, got 'nonsense'"),
        ("http://127.0.0.1:7600", "expected host:port"),
        ("127.0.0.1:99999", "expected a port up to 65535, got '127.0.0.1:99999'"),
    ],
)
def test_an_address_that_is_none_is_wrong_usage(address: str, told: str) -> None:
    result = run("receipt", "x", "--address", address)
    assert result.exit_code == 2
    assert told in result.stderr
    by_variable = run("receipt", "x", TRIVET_ADDRESS=address)
    assert by_variable.exit_code == 2
    assert "Invalid value for TRIVET_ADDRESS" in by_variable.stderr


@pytest.mark.parametrize("address", ["dns:///127.0.0.1:1", "ipv4:127.0.0.1:1", "unix:/tmp/no-such-socket"])
def test_other_ways_of_grpc_to_name_a_server_are_taken(address: str) -> None:
    assert run("receipt", "x", "--address", address).exit_code == 1


def test_nobody_there() -> None:
    refused = run("receipt", "x")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: cannot connect to 127.0.0.1:1: Connection refused (UNAVAILABLE)\n")
    unknown = json.loads(run("receipt", "x", "--address", "no-such-host.invalid:7600", "--json").stderr)["error"]
    assert unknown["message"].startswith("cannot connect to no-such-host.invalid:7600: ")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "got nothing"),
        (b"one\ntwo\n", "got one with white space or other characters"),
        ("k\u00e9y".encode(), "got one with white space or other characters"),
        (b"\xff\xfe", "is not a text file"),
    ],
)
def test_a_key_that_no_call_can_carry_is_wrong_usage(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(content)
    result = run("receipt", "x", "--key-file", str(tmp_path / "key"))
    assert result.exit_code == 2
    assert "--key-file" in result.stderr
    assert told in result.stderr
    assert "two" not in result.stderr


def test_a_certificate_authority_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("garbage\n")
    result = run("receipt", "x", "--ca-file", str(tmp_path / "ca.pem"))
    assert result.exit_code == 2
    assert f"--ca-file: {tmp_path / 'ca.pem'} holds no certificate in PEM format" in result.stderr
    missing = run("receipt", "x", TRIVET_CA_FILE=str(tmp_path / "nowhere.pem"))
    assert missing.exit_code == 2
    assert f"TRIVET_CA_FILE: {tmp_path / 'nowhere.pem'}: No such file or directory" in missing.stderr


def test_tls_on_one_side_alone_and_with_another_authority(serve: Callable[..., int], tmp_path: Path) -> None:
    ours, theirs = self_signed(tmp_path / "ours"), self_signed(tmp_path / "theirs")
    pair = (theirs.key.read_bytes(), theirs.certificate.read_bytes())
    with_tls, plain = serve(grpc.ssl_server_credentials([pair])), serve()
    told = run("receipt", "x", "--address", f"127.0.0.1:{with_tls}").stderr
    assert "If the server there uses TLS, name its certificate authority with --ca-file." in told
    told = run("receipt", "x", "--address", f"127.0.0.1:{with_tls}", "--ca-file", str(ours.certificate)).stderr
    assert "The server's certificate was not issued by the authority in --ca-file" in told
    told = run("receipt", "x", "--address", f"localhost:{with_tls}", "--ca-file", str(theirs.certificate)).stderr
    assert "The server's certificate is for another host" in told
    told = run("receipt", "x", "--address", f"127.0.0.1:{plain}", "--ca-file", str(ours.certificate)).stderr
    assert "The server there does not use TLS: leave out --ca-file" in told


def test_the_other_listener_and_something_else_than_grpc(serve: Callable[..., int]) -> None:
    result = run("receipt", "x", "--address", f"127.0.0.1:{serve()}")
    assert result.exit_code == 1
    assert "Clients and operators have addresses of their own: is the one that --address names" in result.stderr
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as metrics:
        Thread(target=metrics.serve_forever, args=(0.01,), daemon=True).start()
        told = run("receipt", "x", "--address", f"127.0.0.1:{metrics.server_port}").stderr
        metrics.shutdown()
    assert "Something else than gRPC is served there" in told


def test_a_wrong_listen_option_is_wrong_usage() -> None:
    result = run("serve", "--listen", "nonsense")
    assert result.exit_code == 2
    assert "Invalid value for --listen: expected host:port" in result.stderr


@pytest.mark.process
def test_a_reader_that_has_gone_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "trivet.cli", "key", "new"]
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.process
def test_a_full_disk_leaves_no_empty_key(tmp_path: Path) -> None:
    limit = f"ulimit -f 0; trap '' {signal.SIGXFSZ.value}; exec {sys.executable} -m trivet.cli key new --out"
    done = subprocess.run(["bash", "-c", f"{limit} {tmp_path / 'secret'}"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: File too large\n"
    assert not (tmp_path / "secret").exists()
