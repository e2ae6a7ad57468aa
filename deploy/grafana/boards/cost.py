"""Cost and tokens: what is paid for, and what the KV cache saves."""

from deploy.grafana.board import ROUTE, VARIANT, Board, Row
from deploy.grafana.panels import BY_VARIANT, SERVED, Query, graph, rate, tile

_VARIANT = ["route", "variant"]


def _of(metric: str, more: str = "", by: str = "", window: str = "$__rate_interval") -> str:
    kept = f"sum by ({by})" if by else "sum"
    return f"{kept} (rate({metric}{{{BY_VARIANT}{more}}}[{window}]))"


def _by_part(part: str) -> Query:
    """Each variant's cost, by a part of what it is made of."""
    made_of = f"max by (route, variant, {part}) (trivet_variant_info{{{BY_VARIANT}}})"
    cost = _of("trivet_cost_usd_total", by="route, variant")
    return Query(
        f"3600 * sum by ({part}) ({cost} * on (route, variant) group_left ({part}) {made_of})", f"{{{{{part}}}}}"
    )


def _in_interval(counter: str, legend: str) -> Query:
    return Query(f"sum (increase({counter}{{{SERVED}}}[$__rate_interval]))", legend)


_OK = ',code="OK"'
_CACHED = ',kind="input_cached"'
_INPUT = ',kind=~"input_cached|input_uncached"'
_ALL_INPUT = _of("trivet_tokens_total", _INPUT, window="$__range")
BOARD = Board(
    "cost",
    "Cost and tokens",
    "What is paid for, by the configured prices, and what the KV cache saves.",
    (ROUTE, VARIANT),
    (
        Row(
            "Now",
            (
                tile(
                    "Cost per day",
                    "At the rate of the chosen time.",
                    "currencyUSD",
                    Query(f"{_of('trivet_cost_usd_total', window='$__range')} * 86400"),
                    width=6,
                ),
                tile(
                    "Cost per 1,000 answers",
                    "In the chosen time; failed requests are paid for by those that were answered.",
                    "currencyUSD",
                    Query(
                        f"1000 * {_of('trivet_cost_usd_total', window='$__range')}"
                        f" / {_of('trivet_requests_total', _OK, window='$__range')}"
                    ),
                    width=6,
                ),
                tile(
                    "Input from the cache",
                    "Share of input tokens that came out of the KV cache, in the chosen time.",
                    "percentunit",
                    Query(f"{_of('trivet_tokens_total', _CACHED, window='$__range')} / {_ALL_INPUT}"),
                    width=6,
                ),
                tile(
                    "Expected from the cache",
                    "The share that the ledger of prefixes expected. A fall after a prompt was edited means a shorter "
                    "prefix; a gap to what came means a cache that is too small.",
                    "percentunit",
                    Query(f"{_of('trivet_expected_cached_tokens_total', window='$__range')} / {_ALL_INPUT}"),
                    width=6,
                ),
            ),
        ),
        Row(
            "Cost",
            (
                graph(
                    "Cost per hour by component",
                    "Input that was computed, input out of the cache, output, searches.",
                    "currencyUSD",
                    rate("trivet_cost_usd_total", BY_VARIANT, ["component"], times="3600 * "),
                    stacked=True,
                ),
                graph(
                    "Cost per hour by variant",
                    "At the configured prices.",
                    "currencyUSD",
                    rate("trivet_cost_usd_total", BY_VARIANT, _VARIANT, times="3600 * "),
                    stacked=True,
                ),
                graph(
                    "Cost per 1,000 answers by variant",
                    "Of each variant.",
                    "currencyUSD",
                    Query(
                        f"1000 * {_of('trivet_cost_usd_total', by='route, variant')}"
                        f" / ({_of('trivet_requests_total', _OK, by='route, variant')} > 0)",
                        "{{route}} {{variant}}",
                    ),
                ),
            ),
        ),
        Row(
            "Who it is for",
            (
                graph(
                    "Cost per hour by adapter",
                    "Of the variants as they are made up now; an empty name is the base model alone.",
                    "currencyUSD",
                    _by_part("adapter"),
                    width=6,
                    stacked=True,
                ),
                graph(
                    "Cost per hour by prompt",
                    "Of the variants as they are made up now.",
                    "currencyUSD",
                    _by_part("prompt"),
                    width=6,
                    stacked=True,
                ),
                graph(
                    "Cost of copies per hour",
                    "That shadows of rollouts answered, unseen. It is in no receipt of a client.",
                    "currencyUSD",
                    rate("trivet_shadow_cost_usd_total", BY_VARIANT, _VARIANT, times="3600 * "),
                    width=6,
                    stacked=True,
                ),
                graph(
                    "Cost of warm-up per hour",
                    "What no request asked for: starts of engines and primings of prefixes. It is in no receipt.",
                    "currencyUSD",
                    rate("trivet_warmup_cost_usd_total", SERVED, ["backend", "purpose"], times="3600 * "),
                    width=6,
                    stacked=True,
                ),
                graph(
                    "Tokens of warm-up",
                    "Per second, by purpose and kind: what starts of engines and primings of prefixes computed.",
                    "short",
                    rate("trivet_warmup_tokens_total", SERVED, ["backend", "purpose", "kind"]),
                    width=12,
                    stacked=True,
                ),
                graph(
                    "Request log",
                    "Writes that failed, and receipts that never reached the log, in the interval. A lost receipt is a "
                    "cost that no report has.",
                    "short",
                    _in_interval("trivet_receipt_log_errors_total", "failed writes"),
                    _in_interval("trivet_receipts_lost_total", "lost receipts"),
                    width=12,
                ),
            ),
        ),
        Row(
            "Machines that are paid for by the hour",
            (
                graph(
                    "Where the machine's time goes",
                    "Share of its time in each account; no request pays for `idle`, `starting` and `down`.",
                    "percentunit",
                    Query(
                        f"sum by (backend, account) (rate(trivet_machine_seconds_total{{{SERVED}}}[$__rate_interval]))"
                        " / on (backend) group_left () sum by (backend) "
                        f"(rate(trivet_machine_seconds_total{{{SERVED}}}[$__rate_interval]))",
                        "{{backend}} {{account}}",
                    ),
                    width=12,
                    stacked=True,
                ),
                graph(
                    "What the machine costs per hour",
                    "By what its time went to.",
                    "currencyUSD",
                    rate("trivet_machine_cost_usd_total", SERVED, ["backend", "account"], times="3600 * "),
                    width=12,
                    stacked=True,
                ),
                graph(
                    "Weight of a prompt token",
                    "Where an output token has 1: what is charged by, and what the engine's steps tell, with bounds. "
                    "Charges shift between prompts and answers where it is wrong; their sum does not.",
                    "short",
                    Query(
                        f"avg by (backend, kind) (trivet_machine_prompt_token_weight{{{SERVED}}})",
                        "{{backend}} {{kind}}",
                    ),
                    width=12,
                ),
                graph(
                    "Version of the weight",
                    "Since each gateway's start; it stays 1 where the weight is configured as a number.",
                    "short",
                    Query(
                        f"max by (instance, backend) (trivet_machine_prompt_token_weight_version{{{SERVED}}})",
                        "{{instance}} {{backend}}",
                    ),
                    width=12,
                ),
            ),
        ),
        Row(
            "Limits",
            (
                graph(
                    "Limits in use",
                    "Part of a tenant's or a key's limit that is used in its window, of the ten that are used up most.",
                    "percentunit",
                    Query(
                        f"topk(10, max by (owner, name, per, unit) (trivet_budget_used_ratio{{{SERVED}}}))",
                        "{{owner}} {{name}}: {{unit}} per {{per}}",
                    ),
                ),
                graph(
                    "Refused at a limit",
                    "Requests, per second.",
                    "reqps",
                    rate("trivet_budget_refused_total", SERVED, ["owner", "per", "unit"]),
                    stacked=True,
                ),
                graph(
                    "Let in unchecked",
                    "Requests, per second, while the state store was away.",
                    "reqps",
                    rate("trivet_budget_unchecked_total", SERVED, ["instance"]),
                ),
            ),
        ),
        Row(
            "Tokens by kind",
            (
                graph(
                    "Tokens",
                    "Per second, by kind.",
                    "short",
                    rate("trivet_tokens_total", BY_VARIANT, ["kind"]),
                    stacked=True,
                ),
                graph(
                    "Output tokens by variant",
                    "Per second.",
                    "short",
                    rate("trivet_tokens_total", BY_VARIANT + ',kind="output"', _VARIANT),
                ),
                graph(
                    "Share of input from the cache",
                    "Of each variant.",
                    "percentunit",
                    Query(
                        f"{_of('trivet_tokens_total', _CACHED, by='route, variant')}"
                        f" / ({_of('trivet_tokens_total', _INPUT, by='route, variant')} > 0)",
                        "{{route}} {{variant}}",
                    ),
                ),
            ),
        ),
    ),
)
