"""vLLM's metrics of an engine whose outputs are read here. Source: vLLM 0.32, `vllm.v1.metrics`.

vLLM tells its loggers of each step, and counts each token on its own. Here a step adds to numbers that the loggers are
told of a few times a second, and when somebody reads the metrics.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import Any

EVERY = 0.25  # seconds
_RARE = ("connector_prefix_cache_stats", "spec_decoding_stats", "kv_connector_stats", "ec_connector_stats",
         "kv_cache_eviction_events", "cudagraph_stats", "perf_stats")  # fmt: skip


class StepStatistics:
    """Of one engine. All calls come from one event loop."""

    def __init__(self, llm: Any, loop: asyncio.AbstractEventLoop) -> None:
        """`llm`: the `AsyncLLM` whose loggers are told."""
        from vllm import envs
        from vllm.v1.metrics.loggers import PrometheusStatLogger
        from vllm.v1.metrics.stats import IterationStats, LoRARequestStates, PrefixCacheStats

        self._loggers = llm.logger_manager
        self._renderer = llm.renderer
        self._loop = loop
        self._new_iteration = IterationStats
        self._new_prefix_cache = PrefixCacheStats
        self.iteration = IterationStats()
        self._loras = LoRARequestStates(log_stats=True)
        self._each = bool(envs.VLLM_COMPUTE_NANS_IN_LOGITS)  # then each output may say something
        self._gaps: Counter[float] = Counter()
        self._sizes: Counter[float] = Counter()
        self._counted = 0  # tokens of this iteration whose steps are known
        self._queries = self._hits = 0
        self._latest: Any = None
        self._timer: asyncio.TimerHandle | None = None
        ours = [one for one in self._loggers.stat_loggers if isinstance(one, PrometheusStatLogger)]
        self._gap_histograms = [_take(one, "histogram_inter_token_latency") for one in ours]
        self._size_histograms = [_take(one, "histogram_iteration_tokens") for one in ours]

    def output(self, answer: Any, output: Any, timestamp: float) -> None:
        """Count one output of an answer: `stats` and `prefilling` of it are vLLM's."""
        if answer.prefilling or output.events is not None or self._each:
            self.iteration.iteration_timestamp = time.time()
            self.iteration.update_from_output(
                output, timestamp, answer.prefilling, answer.stats, self._loras, answer.lora_name
            )
            return
        stats, tokens = answer.stats, len(output.new_token_ids)
        self.iteration.num_generation_tokens += tokens
        stats.num_generation_tokens += tokens
        self._gaps[timestamp - stats.last_token_ts] += 1
        stats.last_token_ts = timestamp

    def finished(self, answer: Any, reason: Any) -> None:
        """Count an answer's end."""
        self.iteration.iteration_timestamp = time.time()
        self.iteration.update_from_finished_request(
            finish_reason=reason,
            request_id=answer.name,
            num_prompt_tokens=answer.prompt_tokens,
            max_tokens_param=answer.max_tokens,
            req_stats=answer.stats,
            num_cached_tokens=answer.cached_tokens,
        )
        self.left(answer)

    def left(self, answer: Any) -> None:
        """It is no longer in the engine."""
        self._loras.request_finished(answer.ticket, answer.lora_name)
        self._tell_soon()

    def step(self, scheduler: Any, outputs: int) -> None:
        """A step's `outputs` have been counted; `scheduler`: what vLLM's says of it, or None."""
        counted = self.iteration.prompt_token_stats.computed + self.iteration.num_generation_tokens
        if outputs:
            self._sizes[counted - self._counted] += 1
            self._counted = counted
        if scheduler is not None:
            self._queries += scheduler.prefix_cache_stats.queries
            self._hits += scheduler.prefix_cache_stats.hits
            self._latest = scheduler
        if scheduler is not None and _says_more(scheduler):
            self.tell()
        else:
            self._tell_soon()

    def tell(self) -> None:
        """Tell the loggers."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        iteration, self.iteration = self.iteration, self._new_iteration()
        self._gaps.update(iteration.inter_token_latencies_iter)
        for gaps in self._gap_histograms:
            _observe(gaps, self._gaps)
        for sizes in self._size_histograms:
            _observe(sizes, self._sizes)
        scheduler = self._latest
        if scheduler is not None:
            scheduler.prefix_cache_stats = self._new_prefix_cache(queries=self._queries, hits=self._hits)
            self._loras.update_scheduler_stats(scheduler)
        self._gaps.clear()
        self._sizes.clear()
        self._counted = self._queries = self._hits = 0
        self._latest = None
        self._loggers.record(
            engine_idx=0,
            scheduler_stats=scheduler,
            iteration_stats=iteration,
            mm_cache_stats=self._renderer.stat_mm_cache(),
        )

    def tell_now(self) -> None:
        """Tell the loggers, if there is anything that they do not know."""
        if self._timer is not None:
            self.tell()

    def _tell_soon(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(EVERY, self.tell)

    def close(self) -> None:
        """Tell nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Unused:
    """In place of a histogram that vLLM's logger would tell of single tokens and of steps."""

    def observe(self, value: float) -> None:
        """It has been counted."""


def _take(logger: Any, name: str) -> Any:
    """The one engine's histogram, which the logger lets alone from now on."""
    by_engine = getattr(logger, name)
    setattr(logger, name, dict.fromkeys(by_engine, _Unused()))
    return by_engine[0]


def _observe(histogram: Any, counts: Mapping[float, int]) -> None:
    """Many equal observations of prometheus_client's histogram, which takes one at a time."""
    for value, times in counts.items():
        histogram._sum.inc(value * times)
        histogram._buckets[bisect_left(histogram._upper_bounds, value)].inc(times)


def _says_more(scheduler: Any) -> bool:
    """What cannot be added up is told step by step."""
    return any(getattr(scheduler, name, None) for name in _RARE)
