"""Routes and their variants: who fails, who is slow, and where the time goes."""

from deploy.grafana.board import ROUTE, VARIANT, Board, Row
from deploy.grafana.boards.overview import BAD
from deploy.grafana.panels import BY_ROUTE, BY_VARIANT, SERVED, Query, graph, quantiles, rate, table

_VARIANT = ["route", "variant"]


def _share(codes: str) -> str:
    all_of_them = f"sum by (route, variant) (rate(trivet_requests_total{{{BY_VARIANT}}}[$__rate_interval]))"
    some = f'sum by (route, variant) (rate(trivet_requests_total{{{BY_VARIANT},code=~"{codes}"}}[$__rate_interval]))'
    return f"({some} or 0 * {all_of_them}) / {all_of_them}"


BOARD = Board(
    "routes",
    "Routes and variants",
    "Who fails, who is slow, and where the time goes.",
    (ROUTE, VARIANT),
    (
        Row(
            "Outcomes",
            (
                graph(
                    "Requests by variant",
                    "Requests that ended, per second.",
                    "reqps",
                    rate("trivet_requests_total", BY_VARIANT, _VARIANT),
                    stacked=True,
                ),
                graph(
                    "Failed for the service's sake",
                    "Share of requests with a code that an objective counts as failed.",
                    "percentunit",
                    Query(_share(BAD), "{{route}} {{variant}}"),
                ),
                graph(
                    "Ended by the client",
                    "Share of requests that were cancelled, wrong, or not read in time.",
                    "percentunit",
                    Query(
                        _share("CANCELLED|INVALID_ARGUMENT|NOT_FOUND|FAILED_PRECONDITION|ABORTED"),
                        "{{route}} {{variant}}",
                    ),
                ),
                graph(
                    "Failures by code",
                    "Requests that did not end with OK, per second.",
                    "reqps",
                    rate("trivet_requests_total", BY_VARIANT + ',code!="OK"', ["route", "code"]),
                    stacked=True,
                ),
                graph(
                    "Degraded answers",
                    "Answers that are less than they could be, by reason, per second.",
                    "reqps",
                    rate("trivet_degraded_total", BY_ROUTE, ["route", "reason"]),
                    stacked=True,
                ),
                graph(
                    "Feedback",
                    "Feedback that was submitted, by what became of it, per second.",
                    "reqps",
                    rate("trivet_feedback_total", SERVED, ["outcome"]),
                ),
                graph(
                    "Interaction log",
                    "Answers that routes keep, by what became of them, per second; `lost` and `failed` ones are in no "
                    "suite and no training set.",
                    "reqps",
                    rate("trivet_interactions_total", SERVED, ["outcome"]),
                ),
            ),
        ),
        Row(
            "What they are made of",
            (
                table(
                    "Variants",
                    "What each variant that is served consists of.",
                    {
                        "gateways": (
                            "count by (route, variant, backend, prompt, index, adapter) "
                            f"(trivet_variant_info{{{BY_VARIANT}}})",
                            "short",
                        )
                    },
                    ("route", "variant", "backend", "prompt", "index", "adapter"),
                ),
            ),
        ),
        Row(
            "Times",
            (
                graph(
                    "Time to first token",
                    "From a request's arrival to its first token.",
                    "s",
                    *quantiles("trivet_time_to_first_token_seconds", BY_VARIANT, _VARIANT, exemplars=True),
                ),
                graph(
                    "Whole request",
                    "From a request's arrival to the end of the answer.",
                    "s",
                    *quantiles("trivet_request_duration_seconds", BY_VARIANT, _VARIANT, exemplars=True),
                ),
                graph(
                    "Between tokens",
                    "Time between two tokens when they leave the engine.",
                    "s",
                    *quantiles("trivet_inter_token_seconds", BY_VARIANT, _VARIANT),
                ),
                graph(
                    "Queue",
                    "Time in the admission queue, all routes.",
                    "s",
                    *quantiles("trivet_queue_seconds", SERVED),
                ),
                graph(
                    "Gateway's own time",
                    "The total without queue, retrieval and engine, all routes.",
                    "s",
                    *quantiles("trivet_gateway_overhead_seconds", SERVED + ',stage="total"'),
                ),
                graph(
                    "Gateway's own time by stage",
                    "Mean of a request, all routes: the stages add up to the gateway's own time. Waits are in none of "
                    "them; `stream` has the way to the engine and back, and clients that read slowly.",
                    "s",
                    Query(
                        "sum by (stage) (rate(trivet_gateway_overhead_seconds_sum"
                        f'{{{SERVED},stage!="total"}}[$__rate_interval])) / on () group_left () sum '
                        f'(rate(trivet_gateway_overhead_seconds_count{{{SERVED},stage="total"}}[$__rate_interval]))',
                        "{{stage}}",
                    ),
                    stacked=True,
                ),
                graph(
                    "Event loop lag",
                    "How late the event loop woke: every stream is that late.",
                    "s",
                    *quantiles("trivet_event_loop_lag_seconds", SERVED, ["instance"]),
                ),
            ),
        ),
    ),
)
