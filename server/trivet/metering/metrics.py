"""The Prometheus metrics of the gateway. Labels hold configured names only, never a text or an id of a client."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from trivet.metering.weighted_histogram import WeightedHistogram
from trivet.types.variant import Route

# Seconds. Bounds of objectives (0.1, 0.2, 0.3, 0.5, 1) are bounds of buckets, so that their share is exact.
STAGE_BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5),
    *(1.0, 2.0, 5.0, 10.0, 30.0, 120.0),
)
REQUEST_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75),
    *(1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0),
)
TOKEN_BUCKETS = (
    *(0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.075, 0.1),
    *(0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 10.0),
)
# What requests of a variant may end with, and those that reached none: there from the start, as 0, so that the first
# failure is an increase.
CODES = ("OK", "CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED", "UNAVAILABLE")
EARLY_CODES = ("CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED", "UNAVAILABLE")
DEGRADED = ("retrieval_timeout", "retrieval_unavailable")
UNKNOWN = "unknown"
NONE = "none"


class Metrics:
    """All of them, on one registry. Names and labels are a contract: dashboards and alerts rely on them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"trivet_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"trivet_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, *labels: str, buckets: Sequence[float] = STAGE_BUCKETS) -> Histogram:
            return Histogram(f"trivet_{name}", text, labels, buckets=buckets, registry=registry)

        by_variant = ("route", "variant")
        self.requests = counter("requests_total", "Requests that ended, by status code.", *by_variant, "code")
        self.duration = histogram(
            "request_duration_seconds", "From arrival to the end of the answer.", *by_variant, buckets=REQUEST_BUCKETS
        )
        self.ttft = histogram(
            "time_to_first_token_seconds", "From arrival to the first token.", *by_variant, buckets=REQUEST_BUCKETS
        )
        self.inter_token = WeightedHistogram(
            "trivet_inter_token_seconds", "Between tokens at the engine's output.", by_variant, TOKEN_BUCKETS, registry
        )
        self.overhead = histogram("gateway_overhead_seconds", "The gateway's own time, by stage.", "stage")
        self.queue = histogram("queue_seconds", "Waiting for admission.")
        self.engine_queue = histogram("engine_queue_seconds", "From the hand-over until it was worked on.", "backend")
        self.prefill = histogram("prefill_seconds", "In the engine, to the first token.", "backend")
        self.decode = histogram("decode_seconds", "In the engine, from the first token on.", "backend")
        self.preemptions = counter("preemptions_total", "Times that the engine computed a request again.", "backend")
        self.retrieval = histogram("retrieval_duration_seconds", "Search, embedding included.", "index", "outcome")
        self.tokens = counter("tokens_total", "Tokens, by kind.", *by_variant, "kind")
        self.expected_cached = counter(
            "expected_cached_tokens_total", "Input tokens that were expected to be cached.", *by_variant
        )
        self.cost = counter("cost_usd_total", "Cost in USD, by component.", *by_variant, "component")
        self.warmup_tokens = counter(
            "warmup_tokens_total", "Tokens that no request asked for, by purpose.", "backend", "purpose", "kind"
        )
        self.warmup_cost = counter(
            "warmup_cost_usd_total", "Cost in USD of what no request asked for.", "backend", "purpose", "component"
        )
        self.degraded = counter("degraded_total", "Answers that are less than they could be.", "route", "reason")
        self.in_flight = gauge("requests_in_flight", "Requests admitted or waiting for admission.")
        self.max_running = gauge("requests_max_running", "Requests that may run at once, as configured.")
        self.receipt_log_errors = counter("receipt_log_errors_total", "Writes to the request log that failed.")
        self.receipts_lost = counter("receipts_lost_total", "Receipts that never reached the request log.")
        self.feedback = counter("feedback_total", "Feedback that was submitted, by outcome.", "outcome")
        self.interactions = counter("interactions_total", "Answers that routes keep, by outcome.", "outcome")
        self.drift_evidence = gauge(
            "drift_evidence_log10", "Against no change of a route's questions; 1.3 is an alarm.", "route"
        )
        self.drift_alarm = gauge("drift_alarm", "1 for a while after a route's questions have changed.", "route")
        self.unanswered = counter("unanswered_total", "Answers that say that nothing was found.", "route")
        self.adapter_loads = counter("adapter_loads_total", "Adapter loads, by outcome.", "outcome")
        self.adapter_load = histogram("adapter_load_seconds", "From the order to resident.")
        self.adapter_wait = histogram(
            "adapter_wait_seconds", "Waiting for a slot of the engine, priming included.", "backend"
        )
        self.adapter_cold_starts = counter(
            "adapter_cold_starts_total", "Requests that waited for an adapter that they chose, by outcome.", "outcome"
        )
        self.adapter_cold_start = histogram("adapter_cold_start_seconds", "Their waits, for their turn included.")
        self.adapter_cold_waiting = gauge("adapter_cold_starts_waiting", "Cold starts that wait for their turn.")
        self.adapter_copies = gauge("adapter_on_demand_copies", "Copies on the disk of adapters that requests chose.")
        self.adapter_copied_bytes = gauge("adapter_on_demand_bytes", "Their bytes.")
        self.shared_tokens = counter(
            "adapter_shared_tokens_total",
            "Input tokens that activated LoRAs found in the cache as the base model's, by adapter.",
            "adapter",
        )
        self.adapter_waiting = gauge("adapter_waiting", "Requests that wait for a slot of the engine.", "backend")
        self.adapter_slots = gauge("adapter_slots_leased", "Slots of the engine that adapters hold.", "backend")
        self.schema_compile = histogram(
            "schema_compile_seconds", "Trying out a schema that was new, by outcome.", "backend", "outcome"
        )
        self.schemas_waiting = gauge("schemas_waiting", "Schemas that wait to be tried out.", "backend")
        self.engine_up = gauge("engine_up", "1 while the engine takes requests.", "backend")
        self.engine_restarts = counter(
            "engine_restarts_total", "Times that a dead engine was started again, failed starts included.", "backend"
        )
        self.fleet_nodes = gauge("fleet_nodes", "Engine nodes of a backend, by state.", "backend", "state")
        self.fleet_retries = counter(
            "fleet_retries_total", "Requests that were brought to a second engine node.", "backend"
        )
        self.vector_up = gauge("vector_engine_up", "1 while the vector engine answers.")
        self.vector_restarts = counter("vector_engine_restarts_total", "Restarts of the embedded vector engine.")
        self.snapshot_lag = gauge(
            "index_snapshot_lag", "Documents that the index's retained snapshots do not have as they are now.", "index"
        )
        self.unoptimised = gauge(
            "index_unoptimised_points", "Points written to the live snapshot since it was optimised.", "index"
        )
        self.index_model_requests = counter(
            "index_model_requests_total", "Requests for vectors or scores, by status code.", "index", "use", "code"
        )
        self.index_model_tokens = counter("index_model_tokens_total", "Tokens that they had.", "index", "use")
        self.index_model_cost = counter(
            "index_model_cost_usd_total", "What they cost, by the prices of the indexes.", "index", "use"
        )
        self.loop_lag = histogram("event_loop_lag_seconds", "How late the event loop ran what was due.")
        self.repaired = gauge(
            "index_repaired_documents",
            "Documents that the live snapshot had lost and that were written again from the log, since the start.",
            "index",
        )
        self.rollout_transitions = counter(
            "rollout_transitions_total", "Changes of rollouts that this gateway made.", "route", "event", "reason"
        )
        self.rollbacks = counter("rollbacks_total", "Rollbacks that this gateway made.", "route", "reason")
        self.shadow = counter("shadow_total", "Requests that were drawn to be copied, by outcome.", "route", "outcome")
        self.shadow_tokens = counter("shadow_tokens_total", "Tokens of copies, by kind.", *by_variant, "kind")
        self.shadow_cost = counter(
            "shadow_cost_usd_total", "Cost of copies in USD, by component.", *by_variant, "component"
        )
        self.budget_refused = counter(
            "budget_refused_total", "Requests refused because a limit was reached.", "owner", "per", "unit"
        )
        self.budget_unchecked = counter(
            "budget_unchecked_total", "Requests let in unchecked while the state store was away."
        )
        self.build = Info("trivet_build", "What is running.", registry=registry)

    def expect(self, routes: Iterable[Route]) -> None:
        """Make the series of these routes, as 0 where nothing was counted yet."""
        for route in routes:
            for code in EARLY_CODES:
                self.requests.labels(route.name, NONE, code)
            for variant in route.variants:
                for code in CODES:
                    self.requests.labels(route.name, variant, code)
            for reason in DEGRADED:
                self.degraded.labels(route.name, reason)
