"""Hosts with an address and a network interface of their own: network namespaces, joined by a bridge.

What a host is cut off by is a queue that drops every packet without a word (Linux, `sch_blackhole`), on either end of
its cable: neither side is told, as with a broken switch.
"""

from __future__ import annotations

import ctypes
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

NETWORK = "10.77.0"
_CLONE_NEWNET = 0x40000000  # <linux/sched.h>


def leave_the_machines_network() -> None:
    """Give this process a network of its own, which ends with it and its children: nothing here reaches the machine's.

    Call it before there are threads. Raises PermissionError without the right to (CAP_SYS_ADMIN).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise PermissionError(ctypes.get_errno(), "network namespaces need CAP_SYS_ADMIN: run it as root")
    _ip("link", "set", "lo", "up")
    _ip("link", "add", "switch", "type", "bridge")
    _ip("address", "add", f"{NETWORK}.1/24", "dev", "switch")
    _ip("link", "set", "switch", "up")


class Host:
    """One namespace. `entered` is what a command begins with to run there; files and processes are the machine's."""

    def __init__(self, number: int, stack: ExitStack) -> None:
        self.address = f"{NETWORK}.{number}"
        self._cable = f"cable{number}"
        held = subprocess.Popen(["unshare", "--net", "setpriv", "--pdeathsig", "KILL", "sleep", "infinity"])
        stack.callback(held.wait)
        stack.callback(held.kill)
        self.entered = ("nsenter", f"--net=/proc/{held.pid}/ns/net", "--")
        _until_apart(held.pid)
        _ip("link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", str(held.pid))
        _ip("link", "set", self._cable, "master", "switch", "up")
        _run(*self.entered, "ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _run(*self.entered, "ip", "link", "set", device, "up")

    def cut(self, *, to: bool, away: bool) -> None:
        """Drop packets to it, and packets away from it."""
        if to:
            _run("tc", "qdisc", "add", "dev", self._cable, "root", "blackhole")
        if away:
            _run(*self.entered, "tc", "qdisc", "add", "dev", "eth0", "root", "blackhole")

    def mend(self, *, to: bool, away: bool) -> None:
        """Let those pass again."""
        if to:
            _run("tc", "qdisc", "del", "dev", self._cable, "root")
        if away:
            _run(*self.entered, "tc", "qdisc", "del", "dev", "eth0", "root")


def _until_apart(pid: int) -> None:
    """Until that process is in a namespace of its own."""
    own = Path("/proc/self/ns/net").readlink()
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}/ns/net").readlink() == own:
        assert time.monotonic() < end, "no namespace"
        time.sleep(0.01)


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
