"""`trivet_rollout_weight` and `trivet_route_revision`, made at each scrape from the routes that are served then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from trivet.types.variant import Route


class WeightGauge(Collector):
    """`routes` is called from the scrape's thread."""

    def __init__(self, routes: Callable[[], Mapping[str, Route]]) -> None:
        self._routes = routes

    def describe(self) -> Iterable[Metric]:
        """The names, so that nothing else takes them."""
        yield from (_shares({}), _revisions({}))

    def collect(self) -> Iterable[Metric]:
        """The share of each variant of each route; those that are gone have none."""
        routes = self._routes()
        yield from (_shares(routes), _revisions(routes))


def _shares(routes: Mapping[str, Route]) -> GaugeMetricFamily:
    text = "Share of the route's units."
    family = GaugeMetricFamily("trivet_rollout_weight", text, labels=["route", "variant"])
    for route in routes.values():
        total = sum(route.weights.values())
        for variant, weight in route.weights.items():
            family.add_metric([route.name, variant], weight / total)
    return family


def _revisions(routes: Mapping[str, Route]) -> GaugeMetricFamily:
    text = "The revision of the route that is served; 0 for what this gateway does on its own."
    family = GaugeMetricFamily("trivet_route_revision", text, labels=["route"])
    for route in routes.values():
        family.add_metric([route.name], route.revision)
    return family
