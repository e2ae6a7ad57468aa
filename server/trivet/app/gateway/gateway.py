"""The whole server: starts the parts in order and stops them in reverse."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from trivet.app.doors.doors import Doors
from trivet.app.doors.listeners import check_addresses
from trivet.app.gateway.components import Components, start_components
from trivet.app.gateway.foundation import Foundation
from trivet.app.gateway.services import Services, Siblings, open_services
from trivet.app.health_follower import HealthFollower
from trivet.app.models import fetch_models
from trivet.app.progress import Progress
from trivet.app.prompts import ServedPrompts
from trivet.app.runtime_info import RuntimeInfo
from trivet.app.state.opening import open_state
from trivet.app.supervision.log_rotation import LogRotation
from trivet.config import Config
from trivet.errors import FailedPrecondition
from trivet.kserve import SERVICE
from trivet.metering.loop_lag import LoopLag
from trivet.pipeline.routes.route_update import RouteChange
from trivet.pipeline.routes.standby import Standby
from trivet.pipeline.variables import uneven_variables
from trivet.rpc.rollouts import RolloutWatches
from trivet.rpc.server import ADMIN, INFERENCE, Health
from trivet.stores.data_folder import DataFolder

logger = logging.getLogger(__name__)

LAST_GRACE = 1.0  # seconds for streams that never end by themselves, such as a health watch


class Gateway:
    """One server process. `start` once, then `stop` once, from one event loop."""

    def __init__(
        self,
        config: Config,
        progress: Progress,
        read: Callable[[], Config],
        siblings: Siblings | None = None,
    ) -> None:
        """`read` gives the configuration as it is later on, to be reloaded. `siblings` is given to one of several
        processes that share their ports."""
        self._base = Foundation.of(config, progress)
        self._read = read
        self._health = Health((INFERENCE, ADMIN, SERVICE))
        self._follower = HealthFollower(self._health)
        self._watches = RolloutWatches()
        self._siblings = siblings
        self._doors = Doors(config, self._health, shared_ports=siblings is not None)
        self._services: Services | None = None

    async def start(self) -> None:
        """Return when requests are served. Raises what kept it from starting; `stop` is to be called all the same."""
        base, config = self._base, self._base.config
        folder = DataFolder.open(config.data_dir)
        base.stack.callback(folder.close)
        if self._siblings is None:  # else they are held for it
            check_addresses(config)
        self._rotate_logs(folder)
        state = await base.stack.enter_async_context(open_state(config, folder))
        runtime_info = RuntimeInfo(folder.root)
        base.stack.callback(runtime_info.withdraw)
        addresses = await self._doors.open()
        await fetch_models(config, base.progress)
        prompts = ServedPrompts.of(config)
        for line in uneven_variables(config.routes, prompts.variables_of):
            base.progress.note(line)
        components = await start_components(
            base, folder, state, prompts, addresses["admin_listen"], self._follower.changed, self._flipped
        )
        services = self._services = await open_services(
            base, self._read, folder, state, components, self._watches, self._siblings
        )
        addresses["metrics_listen"] = components.metrics_address
        self._doors.serve(services.inference, services.admin, services.http, services.models)
        await self._follower.start(components.warmup.can_serve)
        self._watch(components)
        runtime_info.publish(addresses)
        base.progress.note(
            f"ready: clients {addresses['listen']}, operators {addresses['admin_listen']}, "
            f"metrics http://{addresses['metrics_listen']}/metrics"
            + (f", HTTP clients http://{addresses['http_listen']}/v1" if "http_listen" in addresses else "")
        )

    async def reload(self) -> RouteChange:
        """Read the configuration again and serve its routes; see `RouteReload.reload`."""
        if self._services is None:
            raise FailedPrecondition("the server is starting: there is nothing to reload yet")
        return await self._services.reload.reload()

    async def stop(self) -> None:
        """Say NOT_SERVING, finish what is in flight, stop every part."""
        admission = self._base.admission
        try:
            await self._follower.stop()
            self._watches.close()
            async with asyncio.timeout(self._base.config.file.server.drain_timeout):
                await admission.drain()
        except TimeoutError:
            logger.warning("stopped with %d requests in flight", admission.in_flight)
        finally:
            await self._doors.close(LAST_GRACE)  # before what stands behind them
            await self._base.stack.aclose()

    def _rotate_logs(self, folder: DataFolder) -> None:
        settings = self._base.config.file.server.logs
        logs = LogRotation(folder.logs, settings.file_bytes, settings.files)
        logs.start()
        self._base.stack.push_async_callback(logs.close)

    def _flipped(self) -> None:
        """Other routes are served."""
        self._follower.changed()
        if self._services is not None:
            self._services.shadow.review()

    def _watch(self, components: Components) -> None:
        """What is looked after while it serves."""
        standby = Standby(components.routes, components.readiness)
        standby.start()
        self._base.stack.push_async_callback(standby.close)
        lag = LoopLag(self._base.metrics.loop_lag.observe)  # from now on: what holds up the start holds up nobody
        lag.start()
        self._base.stack.push_async_callback(lag.close)
