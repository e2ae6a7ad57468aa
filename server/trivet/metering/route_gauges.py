"""Metrics of the routes that are served: shares, revisions, and what variants are made of; made anew at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from trivet.types.variant import Route


class RouteGauges(Collector):
    """`routes` is called from the scrape's thread."""

    def __init__(self, routes: Callable[[], Mapping[str, Route]]) -> None:
        self._routes = routes

    def describe(self) -> Iterable[Metric]:
        """The names, so that nothing else takes them."""
        yield from (_shares({}), _revisions({}), _variants({}))

    def collect(self) -> Iterable[Metric]:
        """Of each route, and of each of its variants; those that are gone have none."""
        routes = self._routes()
        yield from (_shares(routes), _revisions(routes), _variants(routes))


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


def _variants(routes: Mapping[str, Route]) -> GaugeMetricFamily:
    text = "1 for each variant, with what it is made of."
    labels = ["route", "variant", "backend", "adapter", "prompt", "index"]
    family = GaugeMetricFamily("trivet_variant_info", text, labels=labels)
    for route in routes.values():
        for variant in route.variants.values():
            index = "" if variant.retrieval is None else variant.retrieval.index
            family.add_metric(
                [route.name, variant.name, variant.backend, variant.adapter_text, str(variant.prompt), index], 1
            )
    return family
