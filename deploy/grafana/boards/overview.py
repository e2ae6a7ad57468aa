"""Is the service well, and what does it cost: objectives, traffic, and a row for each route."""

from deploy.grafana.board import Board, Choice, Row
from deploy.grafana.panels import SERVED, Query, graph, quantiles, rate, table, tile

# As in deploy/prometheus/rules/recording.yml.
BAD = "INTERNAL|UNAVAILABLE|UNKNOWN|DATA_LOSS|DEADLINE_EXCEEDED"
_COUNTED = f'trivet_requests_total{{{SERVED},code=~"OK|{BAD}"}}'
_BAD = f'trivet_requests_total{{{SERVED},code=~"{BAD}"}}'
_FIRST = f"trivet_time_to_first_token_seconds_count{{{SERVED}}}"
_IN_TIME = f'trivet_time_to_first_token_seconds_bucket{{{SERVED},le=~"$first_token"}}'


def _ratio(part: str, whole: str, window: str, by: str = "") -> str:
    """A share that is 0, not absent, where there is nothing of the part."""
    kept = f"sum by ({by})" if by else "sum"
    return (
        f"({kept} (rate({part}[{window}])) or 0 * {kept} (rate({whole}[{window}]))) / {kept} (rate({whole}[{window}]))"
    )


FAILED = _ratio(_BAD, _COUNTED, "$__range")
GOOD = [(None, "red"), (0.95, "orange"), (0.99, "green")]

BOARD = Board(
    "overview",
    "Overview",
    "Objectives, traffic, and a row for each route.",
    (
        Choice("objective", "Availability objective", ("0.995", "0.99", "0.999")),
        Choice("first_token", "First token within (s)", ("1.0", "0.1", "0.2", "0.3", "0.5", "2.0", "5.0")),
    ),
    (
        Row(
            "Objectives",
            (
                tile(
                    "Availability",
                    "Share of requests that did not fail for the service's sake, in the chosen time. Cancelled "
                    "requests, refused ones and those that a client got wrong are not counted.",
                    "percentunit",
                    Query(f"1 - {FAILED}"),
                    steps=GOOD,
                ),
                tile(
                    "Error budget left",
                    "What is left of the failures that the objective allows in the chosen time; below 0 it is missed.",
                    "percentunit",
                    Query(f"1 - ({FAILED}) / (1 - $objective)"),
                    steps=[(None, "red"), (0, "orange"), (0.25, "green")],
                ),
                tile(
                    "First tokens in time",
                    "Share of answers whose first token came within the chosen bound, from the request's arrival on.",
                    "percentunit",
                    Query(f"sum(rate({_IN_TIME}[$__range])) / sum(rate({_FIRST}[$__range]))"),
                    steps=GOOD,
                ),
                tile(
                    "Requests",
                    "Requests that ended, per second, now.",
                    "reqps",
                    Query(f"sum(rate(trivet_requests_total{{{SERVED}}}[$__rate_interval]))"),
                ),
                tile(
                    "Cost per day",
                    "What a day costs at the rate of the chosen time, by the configured prices.",
                    "currencyUSD",
                    Query(f"sum(rate(trivet_cost_usd_total{{{SERVED}}}[$__range])) * 86400"),
                ),
                tile(
                    "Engines down",
                    "Engines and vector engines that do not answer now.",
                    "short",
                    Query(
                        f"count(trivet_engine_up{{{SERVED}}} == 0 or trivet_vector_engine_up{{{SERVED}}} == 0)"
                        f" or 0 * count(trivet_vector_engine_up{{{SERVED}}})"
                    ),
                    steps=[(None, "green"), (1, "red")],
                ),
            ),
        ),
        Row(
            "Traffic",
            (
                graph(
                    "Requests by code",
                    "Requests that ended, by gRPC status code, per second.",
                    "reqps",
                    rate("trivet_requests_total", SERVED, ["code"]),
                    stacked=True,
                ),
                graph(
                    "Failed share",
                    "Share of each route's requests that failed for the service's sake.",
                    "percentunit",
                    Query(_ratio(_BAD, _COUNTED, "$__rate_interval", "route"), "{{route}}"),
                ),
                graph(
                    "Time to first token",
                    "From a request's arrival to its first token, all routes.",
                    "s",
                    *quantiles("trivet_time_to_first_token_seconds", SERVED, exemplars=True),
                ),
                graph(
                    "Requests in flight",
                    "Requests that run or wait for admission, and how many may run.",
                    "short",
                    Query(f"sum by (instance) (trivet_requests_in_flight{{{SERVED}}})", "{{instance}}"),
                    Query(f"sum by (instance) (trivet_requests_max_running{{{SERVED}}})", "may run in {{instance}}"),
                ),
                graph(
                    "Degraded answers",
                    "Answers that are less than they could be, by reason, per second.",
                    "reqps",
                    rate("trivet_degraded_total", SERVED, ["reason"]),
                    stacked=True,
                ),
                graph(
                    "Cost per hour",
                    "By route, at the configured prices.",
                    "currencyUSD",
                    rate("trivet_cost_usd_total", SERVED, ["route"], times="3600 * "),
                    stacked=True,
                ),
            ),
        ),
        Row(
            "Routes",
            (
                table(
                    "Routes",
                    "Each route in the chosen time. Details are in the dashboard of routes.",
                    {
                        "requests": (f"sum by (route) (rate(trivet_requests_total{{{SERVED}}}[$__range]))", "reqps"),
                        "failed": (_ratio(_BAD, _COUNTED, "$__range", "route"), "percentunit"),
                        "first token p95": (
                            "histogram_quantile(0.95, sum by (le, route) "
                            f"(rate(trivet_time_to_first_token_seconds_bucket{{{SERVED}}}[$__range])))",
                            "s",
                        ),
                        "cost per hour": (
                            f"3600 * sum by (route) (rate(trivet_cost_usd_total{{{SERVED}}}[$__range]))",
                            "currencyUSD",
                        ),
                    },
                    ("route",),
                ),
                table(
                    "Gateways",
                    "What each gateway runs. Different versions are fine while an upgrade is under way.",
                    {
                        "running": (f"max by (instance, version) (trivet_build_info{{{SERVED}}})", "short"),
                        "in flight": (
                            f"max by (instance, version) (trivet_requests_in_flight{{{SERVED}}}"
                            f" * on (job, instance) group_left (version) trivet_build_info{{{SERVED}}})",
                            "short",
                        ),
                    },
                    ("instance", "version"),
                ),
            ),
        ),
    ),
)
