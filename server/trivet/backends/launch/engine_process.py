"""What an engine's process does first: it writes to the log file alone, and it dies with its parent.

Applying the logging configuration is the first thing that vLLM does in an engine process, before it waits for its
parent's handshake and whichever way the process was started. So the hook into that process is a log handler, named in
a logging configuration file (Python's `logging.config.dictConfig` schema, as JSON).
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

PARENT_POLL_SECONDS = 0.25


def write_logging_config(log_file: Path) -> Path:
    """Write the logging configuration of the engine that logs to `log_file`, beside it, and return its path."""
    handler = {
        "()": f"{__name__}.{EngineLog.__name__}",
        "path": str(log_file),
        "owner": os.getpid(),
        "formatter": "plain",
    }
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"}},
        "handlers": {"file": handler},
        "loggers": {"vllm": {"handlers": ["file"], "level": "INFO", "propagate": False}},
    }
    log_file.parent.mkdir(parents=True, exist_ok=True)
    path = log_file.with_name(f"{log_file.stem}-logging.json")
    path.write_text(json.dumps(config, indent=1))
    return path


class EngineLog(logging.FileHandler):
    """Appends to `path`. Made in a child of the process `owner`, it also takes that child over (see the module)."""

    def __init__(self, path: str, owner: int) -> None:
        super().__init__(path, encoding="utf-8")
        parent = multiprocessing.parent_process()
        if os.getpid() != owner and parent is not None and parent.pid is not None:
            take_over_output(path)
            die_with(parent.pid)
            tempfile.tempdir = None  # a forked child has its parent's, instead of what TMPDIR says by now


def take_over_output(path: str) -> None:
    """Send this process's stdout and stderr, those of C libraries included, to the end of a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    # A forked child has its parent's stream objects, which need not be on descriptors 1 and 2.
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115


def die_with(parent: int) -> None:
    """Kill this process as soon as its parent is gone, also if that was killed with SIGKILL.

    Linux's PR_SET_PDEATHSIG is no use here: it fires when the parent's *thread* that started this process ends.
    """
    threading.Thread(target=_watch, args=(parent,), name="die-with-parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
