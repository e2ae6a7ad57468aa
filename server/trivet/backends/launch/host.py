"""The server's side of the process that its engines are forked from (`host_process`)."""

from __future__ import annotations

import gc
import multiprocessing
import os
import select
import signal
import stat
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from trivet.backends.background import in_background
from trivet.backends.launch.engine_process import write_logging_config
from trivet.backends.launch.environment import know_architecture, prepare_cpu, prepare_import
from trivet.backends.launch.host_process import Failed, Order, Started, serve
from trivet.backends.vllm_settings import EmbeddedSettings

END_SECONDS = 10.0


class HostEndedError(Exception):
    """The process that engines are forked from is gone."""


class HostedProcess:
    """An engine's process, which is no child of this one: what `multiprocessing` offers of a child."""

    name = "EngineCore"
    sentinel = -1

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError if it has ended and was reaped."""
        self.pid = pid
        self.sentinel = os.pidfd_open(pid)

    def __del__(self) -> None:
        if self.sentinel >= 0:
            os.close(self.sentinel)

    def is_alive(self) -> bool:
        """It has not ended."""
        return not self._ended(0)

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._signal(signal.SIGKILL)

    def join(self, timeout: float) -> None:
        """Wait for its end, at most so many seconds."""
        self._ended(timeout)

    def _ended(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self.sentinel, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.sentinel, number)


class HostedEngines:
    """In place of vLLM's manager of the processes that it starts itself."""

    def __init__(self, processes: Sequence[HostedProcess]) -> None:
        self.processes = processes

    def shutdown(self, timeout: float | None = None) -> None:
        """End them; they have so many seconds for it."""
        deadline = time.monotonic() + (END_SECONDS if timeout is None else timeout)
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
            process.kill()


class EngineHost:
    """Starts engines, one at a time. `start` blocks, so it belongs in a thread."""

    def __init__(self, locks: Sequence[int]) -> None:
        """Forks this process: in its main thread, once vLLM is imported, and before others may hold what that needs.

        The new process gives up all that this one has open but files, and those of them too that are `locks`.
        """
        gc.collect()
        gc.freeze()  # else the first collection of either process would make a copy of all that they share
        context = multiprocessing.get_context("fork")
        self._orders, theirs = context.Pipe()
        closed = [*(one for one in _unlike_files() if one != theirs.fileno()), *locks]
        given = (theirs, os.getpid(), closed)
        self._process: BaseProcess = context.Process(target=serve, args=given, name="EngineHost")
        self._process.start()
        theirs.close()
        self._busy = threading.Lock()

    @property
    def alive(self) -> bool:
        """It can be given orders."""
        return self._process.is_alive()

    def start(self, order: Order, started: Callable[[HostedProcess], None]) -> HostedEngines:
        """Start an engine; `started` is told of its process, which it may kill. Raises RuntimeError as vLLM words it
        if it does not come up, and HostEndedError."""
        try:
            with self._busy:
                self._orders.send(order)
                answer = self._orders.recv()
                processes = []
                if isinstance(answer, Started):
                    with suppress(ProcessLookupError):  # it has ended already, as the next answer will say
                        processes.append(HostedProcess(answer.pid))
                        started(processes[0])
                    answer = self._orders.recv()
        except (EOFError, OSError) as problem:
            raise HostEndedError("the process that engines are forked from ended") from problem
        engines = HostedEngines(processes)
        if isinstance(answer, Failed):
            engines.shutdown(0)
            raise RuntimeError(answer.told)
        return engines

    def close(self) -> None:
        """End it, and engines that are left."""
        self._orders.close()
        self._process.join(END_SECONDS)
        self._process.kill()
        self._process.join()


def _unlike_files() -> list[int]:
    """This process's sockets, pipes and the like, beside what it has from its own start."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        descriptor = int(entry.name)
        with suppress(OSError):  # the folder's own, which is closed by now
            mode = os.fstat(descriptor).st_mode
            if descriptor > 2 and not (stat.S_ISREG(mode) or stat.S_ISCHR(mode)):
                found.append(descriptor)
    return found


async def open_host(settings: Sequence[EmbeddedSettings], locks: Sequence[int]) -> EngineHost | None:
    """Import vLLM for these engines, and fork a process for them (see `EngineHost`), on a CPU; None elsewhere.

    What is wrong with vLLM's installation is told by the start of an engine.
    """
    if not settings or find_spec("vllm") is None:
        return None
    with suppress(Exception):
        if await in_background(lambda: _import_vllm(settings), "vllm-import"):
            return EngineHost(locks)
    return None


def _import_vllm(settings: Sequence[EmbeddedSettings]) -> bool:
    """Whether its engines compute on a CPU."""
    first = settings[0]
    prepare_import(first.cache_folder, write_logging_config(first.log_file))
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return False
    prepare_cpu(first.cpu_threads)
    from vllm.v1.engine import async_llm

    assert async_llm
    for one in settings:
        if (one.model / "config.json").is_file():  # else it is still to be fetched
            know_architecture(one.model)
    return True


def order_of(config: Any, settings: EmbeddedSettings) -> Order | None:
    """What a host is to start for vLLM's configuration; None for an engine of several processes."""
    from vllm.transformers_utils.config import maybe_register_config_serialize_by_value
    from vllm.v1.engine.utils import EngineZmqAddresses, get_engine_zmq_bind_addresses
    from vllm.v1.executor import Executor

    parallel, multimodal = config.parallel_config, config.model_config.multimodal_config
    if parallel.world_size * parallel.data_parallel_size > 1:
        return None
    if multimodal is not None and multimodal.mm_tensor_ipc == "torch_shm":  # a queue that is handed to children alone
        return None
    maybe_register_config_serialize_by_value()  # the classes of a model that brings code of its own
    bound = get_engine_zmq_bind_addresses(config)
    addresses = EngineZmqAddresses(inputs=bound.inputs, outputs=bound.outputs)
    return Order(config, Executor.get_class(config), addresses, dict(os.environ), settings.cpu_threads)
