"""Rollouts: shares, what the data say, what is waited for, what changed."""

from deploy.grafana.board import ROUTE, Board, Row
from deploy.grafana.panels import BY_ROUTE, SERVED, Query, changes, graph, rate


def _newest(metric: str, by: str, legend: str) -> Query:
    return Query(f"max by ({by}) ({metric}{{{BY_ROUTE}}})", legend)


_TEST = "{{route}} {{guardrail}} {{test}}"
_COMPARED = ',outcome="compared"'


def _copies(more: str = "") -> str:
    return f"sum by (route) (rate(trivet_shadow_total{{{BY_ROUTE}{more}}}[$__rate_interval]))"


BOARD = Board(
    "rollouts",
    "Rollouts",
    "Shares, what the data say, what is waited for, what changed.",
    (ROUTE,),
    (
        Row(
            "Where each rollout is",
            (
                graph(
                    "Share of the units",
                    "That each variant gets, as the gateways serve it.",
                    "percentunit",
                    _newest("trivet_rollout_weight", "route, variant", "{{route}} {{variant}}"),
                ),
                graph(
                    "State",
                    "1 for the state of each route's newest rollout.",
                    "short",
                    _newest("trivet_rollout_state", "route, state", "{{route}} {{state}}"),
                ),
                graph(
                    "What it waits for",
                    "1 for why a rollout stays where it is; known to the gateway that leads.",
                    "short",
                    _newest("trivet_rollout_waiting", "route, reason", "{{route}} {{reason}}"),
                ),
                graph(
                    "Step",
                    "From 1 on; 0 before the first.",
                    "short",
                    _newest("trivet_rollout_step", "route", "{{route}}"),
                ),
                graph(
                    "Changes",
                    "Of rollouts in the interval, by event and reason.",
                    "short",
                    changes("trivet_rollout_transitions_total", BY_ROUTE, ["route", "event", "reason"]),
                ),
                graph(
                    "Rollbacks",
                    "Candidates that lost all their units in the interval, by reason.",
                    "short",
                    changes("trivet_rollbacks_total", BY_ROUTE, ["route", "reason"]),
                ),
            ),
        ),
        Row(
            "What the data say",
            (
                graph(
                    "Beyond what the candidate may be",
                    "The estimate of each test, from -1 to 1. Above 0 the candidate is worse than its tolerance "
                    "allows.",
                    "short",
                    _newest("trivet_rollout_estimate", "route, guardrail, test", _TEST),
                    least=None,
                ),
                graph(
                    "Bounds of the estimate",
                    "They hold however often one looks. A lower bound above 0 rolls the candidate back.",
                    "short",
                    _newest("trivet_rollout_estimate_lower", "route, guardrail, test", f"{_TEST} lower"),
                    _newest("trivet_rollout_estimate_upper", "route, guardrail, test", f"{_TEST} upper"),
                    least=None,
                ),
                graph(
                    "Statistic and boundary",
                    "The test decides when the statistic passes the boundary.",
                    "short",
                    _newest("trivet_rollout_z", "route, guardrail, test", _TEST),
                    _newest("trivet_rollout_boundary", "route, guardrail, test", f"{_TEST} boundary"),
                    least=None,
                ),
                graph(
                    "Units",
                    "Of the step, by arm.",
                    "short",
                    _newest("trivet_rollout_units", "route, arm", "{{route}} {{arm}}"),
                ),
                graph(
                    "Requests that count",
                    "Of the step.",
                    "short",
                    _newest("trivet_rollout_counted_requests", "route", "{{route}}"),
                ),
                graph(
                    "Requests that do not count",
                    "Of the step, by reason.",
                    "short",
                    _newest("trivet_rollout_excluded_requests", "route, reason", "{{route}} {{reason}}"),
                ),
            ),
        ),
        Row(
            "Shadow: copies that the candidate answers unseen",
            (
                graph(
                    "Copies by outcome",
                    "Requests that were drawn to be copied, per second. `busy`, `full` and `gave_way` had no room "
                    "beside clients' requests.",
                    "reqps",
                    rate("trivet_shadow_total", BY_ROUTE, ["route", "outcome"]),
                    width=12,
                    stacked=True,
                ),
                graph(
                    "Copies that were compared",
                    "Share of those drawn. A small one makes a shadow long: only they say anything of the candidate.",
                    "percentunit",
                    Query(f"({_copies(_COMPARED)} or 0 * {_copies()}) / ({_copies()} > 0)", "{{route}}"),
                    width=12,
                ),
                graph(
                    "Tokens of copies",
                    "Per second, by variant and kind. They are in no receipt of a client.",
                    "short",
                    rate("trivet_shadow_tokens_total", BY_ROUTE, ["route", "variant", "kind"]),
                    width=12,
                    stacked=True,
                ),
                graph(
                    "Cost of copies per hour",
                    "By variant.",
                    "currencyUSD",
                    rate("trivet_shadow_cost_usd_total", BY_ROUTE, ["route", "variant"], times="3600 * "),
                    width=12,
                    stacked=True,
                ),
            ),
        ),
        Row(
            "State store",
            (
                graph(
                    "Revisions behind",
                    "How far the slowest gateway's route is behind the store; more than a second of it is a fault.",
                    "short",
                    Query(
                        f"max by (route) (trivet_rollout_revision{{{BY_ROUTE}}})"
                        f" - min by (route) (trivet_route_revision{{{BY_ROUTE}}})",
                        "{{route}}",
                    ),
                    least=None,
                ),
                graph(
                    "Since the store was read",
                    "By gateway. Beyond 10 s nothing is decided.",
                    "s",
                    Query(f"max by (instance) (trivet_store_staleness_seconds{{{SERVED}}})", "{{instance}}"),
                ),
            ),
        ),
    ),
)
