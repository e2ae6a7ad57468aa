"""An engine node in a Ray actor. Ray places its process and starts it again; gateways speak to the node itself.

The node runs in a thread with an event loop of its own, so that the actor answers at once whatever the node does. It is
started by the actor's constructor: of a process that died, Ray runs that alone again.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from trivet.app.node import EngineNode
from trivet.app.node.logged_progress import LoggedProgress
from trivet.app.serve import SWITCH_INTERVAL, settle
from trivet.config.engine_node import EngineOverrides, load_engine_node
from trivet.fleet.backoff import Backoff

logger = logging.getLogger(__name__)
RETRY_FIRST, RETRY_MOST = 1.0, 60.0  # seconds between starts that failed
EVERY_ADDRESS = ("0.0.0.0", "[::]")  # noqa: S104  # compared with, not listened on
MOST_TOLD = 2000  # characters of a problem


@dataclass(frozen=True, slots=True)
class NodeOrder:
    """What an actor is told: its node's name, and the file and folder on whichever machine Ray puts it."""

    name: str
    config: str
    data_dir: str
    insecure: bool


class EngineActor:
    """What Ray makes. Its methods return at once, but for `stop`; call them with a few threads (`max_concurrency`)."""

    def __init__(self, order: NodeOrder) -> None:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._order = order
        self._address = ""
        self._problem = "starting"
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="engine node", daemon=True)
        self._thread.start()

    def told(self) -> tuple[str, str]:
        """Where the node serves gateways (host:port), empty until it does; and what keeps it from that."""
        return self._address, self._problem

    def stop(self) -> None:
        """Finish what is in flight, and end the node. The actor stays, empty, until Ray removes it."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        sys.setswitchinterval(SWITCH_INTERVAL)
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._keep_up())

    async def _keep_up(self) -> None:
        """Start the node until that succeeds once; then serve until `stop`. Its engine it restarts by itself."""
        backoff = Backoff(RETRY_FIRST, RETRY_MOST)
        while not self._stop.is_set() and not await self._served():
            delay = backoff.next_delay()
            logger.warning("the node is started again in %.1f s", delay)
            waiting = asyncio.ensure_future(self._stop.wait())
            await asyncio.wait({waiting}, timeout=delay)
            waiting.cancel()

    async def _served(self) -> bool:
        """Whether it came up; returns when it is to stop, or could not start."""
        node: EngineNode | None = None
        try:
            overrides = EngineOverrides(
                data_dir=Path(self._order.data_dir), name=self._order.name, insecure=self._order.insecure
            )
            config = await asyncio.to_thread(load_engine_node, Path(self._order.config), overrides)
            node = EngineNode(config, LoggedProgress())
            await node.start()
            settle()
            self._address, self._problem = _reachable(node.address), ""
            await self._stop.wait()
            return True
        except Exception as problem:  # whatever it is, the next start may go well, and `told` has it meanwhile
            logger.exception("the node could not start")
            self._problem = f"{type(problem).__name__}: {problem}"[:MOST_TOLD]
            return False
        finally:
            if node is not None:
                await node.stop()
            self._address = ""


def _reachable(address: str) -> str:
    """As other machines see it: one that listens on every address is at the Ray node's."""
    host, _, port = address.rpartition(":")
    if host not in EVERY_ADDRESS:
        return address
    import ray

    own = str(ray.util.get_node_ip_address())
    return f"[{own}]:{port}" if ":" in own else f"{own}:{port}"
