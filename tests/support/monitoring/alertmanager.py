"""A real Alertmanager, over the binaries that deploy/prometheus/fetch.sh has."""

from __future__ import annotations

import os
import shutil
import urllib.request
from pathlib import Path

import pytest

from tests.support.prometheus import binaries

TEMPLATES = Path("/usr/share/prometheus/alertmanager")


def with_templates() -> list[str | Path]:
    """What a command is started by so that it sees Debian's templates where Debian's Alertmanager looks for them."""
    if TEMPLATES.exists() or not any((binaries() / "share").iterdir()):
        return []
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip(f"{TEMPLATES} is not there, and only root can lay it there for one process")
    lay = 'mount --make-rprivate / && mount -t tmpfs tmpfs /usr/share && mkdir /usr/share/prometheus && cp -r "$0" "$1"'
    return ["unshare", "--mount", "sh", "-c", f'{lay} && shift && exec "$@"', binaries() / "share", TEMPLATES]


def ready(address: str) -> bool:
    try:
        urllib.request.urlopen(f"http://{address}/-/ready", timeout=5).close()
    except OSError:
        return False
    return True
