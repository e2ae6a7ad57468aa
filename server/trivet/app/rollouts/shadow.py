"""The copies of a gateway, with what stands behind each seam."""

from __future__ import annotations

from collections.abc import Mapping

from trivet.app.rollouts.serving import Rollouts
from trivet.metering.metrics import Metrics
from trivet.metering.prices import Price
from trivet.metering.receipt_log import ReceiptLog
from trivet.metering.shadow_sink import ShadowSink
from trivet.pipeline.admission import Admission
from trivet.pipeline.answer.answering import Answering
from trivet.pipeline.routes.readiness import Readiness
from trivet.pipeline.shadow.traffic import ShadowTraffic
from trivet.routing.table import RouteTable
from trivet.rpc.status import code_name_of


def shadow_traffic(
    *,
    routes: RouteTable,
    admission: Admission,
    answering: Answering,
    readiness: Readiness,
    prices: Mapping[str, Price],
    receipts: ReceiptLog,
    metrics: Metrics,
    rollouts: Rollouts,
) -> ShadowTraffic:
    """Whoever made it closes it, before the receipts."""
    return ShadowTraffic(
        routes=routes,
        admission=admission,
        answering=answering,
        is_ready=readiness.is_ready,
        prices=prices,
        sink=ShadowSink(metrics, receipts, rollouts.record),
        code_of=code_name_of,
        count=lambda route, outcome: metrics.shadow.labels(route, outcome).inc(),
    )
