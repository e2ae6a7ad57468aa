"""The process that an engine on a CPU is forked from: it has imported vLLM, and has done nothing else.

It was forked from a server that had just imported vLLM, and uses nothing else of that server's. It takes one order
after another, starts vLLM's engine process for each, and ends with its server, and its engines with it.
Source: vLLM 0.32, `vllm.v1.engine.utils`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any


@dataclass(frozen=True, slots=True)
class Order:
    """An engine that is to be started. `executor`, `addresses`: vLLM's class and its `EngineZmqAddresses`."""

    config: Any
    executor: type
    addresses: Any
    environment: Mapping[str, str]
    threads: int

    @property
    def sockets(self) -> Mapping[str, str]:
        """Where its front end is to listen, as `AsyncLLM` wants to be told."""
        return {"input_address": self.addresses.inputs[0], "output_address": self.addresses.outputs[0]}


@dataclass(frozen=True, slots=True)
class Started:
    """The engine's process is there, and loads."""

    pid: int


@dataclass(frozen=True, slots=True)
class Ready:
    """It takes requests."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not come up: the words of vLLM's exception."""

    told: str


class _Server:
    """The server in place of what vLLM calls a front end's process: one whose end breaks a start off."""

    name = "server"
    exitcode = None

    def __init__(self, pid: int) -> None:
        self.sentinel = os.pidfd_open(pid)


def serve(orders: Connection, server: int, closed: Iterable[int]) -> None:
    """The process's whole life. `server`: the id of the one that gives orders. `closed`: descriptors of the server's
    that would keep its sockets open and its locks held for as long as this process lives."""
    _part_from_server(closed)
    with suppress(EOFError, OSError):  # the server is gone
        watched, engines = _Server(server), list[Any]()
        _import_engine()
        while True:
            sentinels = [process.sentinel for manager in engines for process in manager.processes]
            ready = connection.wait([orders, *sentinels])
            engines = [manager for manager in engines if not manager.finished_procs()]  # which also reaps them
            if orders in ready:
                _start(orders, watched, engines)
    os._exit(0)  # its engines end when they see that it is gone


def _part_from_server(closed: Iterable[int]) -> None:
    # A signal would be written to the pipe by which the server's event loop learns of its own.
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all; who ends this process is its server
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for descriptor in closed:
        os.close(descriptor)


def _import_engine() -> None:
    """What an engine's process imports beside, while the server is busy with other things."""
    from vllm.utils.system_utils import set_process_title
    from vllm.v1.worker import cpu_worker

    assert cpu_worker
    set_process_title("EngineHost")


def _start(orders: Connection, server: _Server, engines: list[Any]) -> None:
    """Take an order. EOFError and OSError tell that the server is gone."""
    import torch
    from vllm.v1.engine.utils import launch_core_engines

    try:
        order: Order = orders.recv()
    except (EOFError, OSError):
        raise
    except Exception as problem:
        orders.send(Failed(f"the engine's configuration could not be handed on: {problem}"))
        return
    try:
        os.environ.clear()
        os.environ.update(order.environment, VLLM_WORKER_MULTIPROC_METHOD="fork")
        torch.set_num_threads(order.threads)  # a forked child does not read OMP_NUM_THREADS any more
        with launch_core_engines(order.config, order.executor, True, order.addresses) as launch:
            launch.watched_frontend_processes = (server,)
            engines.append(launch.engine_manager)
            (process,) = launch.engine_manager.processes
            orders.send(Started(process.pid))
        orders.send(Ready())
    except Exception as problem:
        orders.send(Failed(str(problem)))
