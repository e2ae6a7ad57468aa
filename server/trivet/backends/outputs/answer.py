"""One answer as the engine's process sends it. Source: vLLM 0.32, `vllm.v1.engine.output_processor`."""

from __future__ import annotations

import logging
from typing import Any

from trivet.backends.answers.coalescing import Coalescer
from trivet.errors import GenerationFailed

logger = logging.getLogger(__name__)


class EngineAnswer:
    """Takes its outputs step by step.

    Its tokens become text when a chunk is due, by vLLM's own detokenizer. An answer that has to be looked at token by
    token is not put off: one with stop strings, with log probabilities, or that a parser takes apart.
    """

    def __init__(self, prepared: Any, tokenizer: Any, collector: Coalescer) -> None:
        """`prepared`: vLLM's `EngineCoreRequest`, with its id assigned."""
        from vllm.v1.engine import FinishReason
        from vllm.v1.engine.detokenizer import IncrementalDetokenizer
        from vllm.v1.engine.logprobs import LogprobsProcessor
        from vllm.v1.metrics.stats import RequestStateStats

        sampling = prepared.sampling_params
        self.ticket = str(prepared.request_id)
        self.name = prepared.external_req_id
        self.lora_name = None if prepared.lora_request is None else prepared.lora_request.lora_name
        self.prompt_tokens = len(prepared.prompt_token_ids)
        self.max_tokens = sampling.max_tokens
        self.cached_tokens = 0
        self.prefilling = True
        self.stats = RequestStateStats(arrival_time=prepared.arrival_time)
        self.collector = collector
        self._detokenizer = IncrementalDetokenizer.from_new_request(tokenizer, prepared)
        self._logprobs = None
        if sampling.logprobs is not None:
            self._logprobs = LogprobsProcessor.from_new_request(tokenizer, prepared)
        self.failed = FinishReason.ERROR
        self._stop_reason = FinishReason.STOP
        self._at_once = bool(sampling.stop) or collector.looks_at_tokens
        self._pending: list[int] = []
        self._stopped = False
        if not self._at_once:
            collector.read_from(self)

    def take(self, output: Any, now: float) -> Any:
        """Take vLLM's `EngineCoreOutput`; returns why the answer has ended (vLLM's `FinishReason`), None if it has not.

        `now`: the event loop's time.
        """
        if self.prefilling:
            if output.prefill_stats is not None:
                self.cached_tokens = output.prefill_stats.num_cached_tokens
            self.prefilling = False
        reason = output.finish_reason
        if self._at_once:
            return self._look(output, reason, now)
        ids = output.new_token_ids
        self._pending += ids
        if reason is not None:
            self._stopped = str(reason) == "stop"
        self.collector.add(ids, now, self.cached_tokens, self.stats, None if reason is None else str(reason))
        return reason

    def text(self) -> str:
        """Of the tokens since the last time. Raises GenerationFailed where they are none."""
        try:
            self._detokenizer.update(self._pending, self._stopped)
        except Exception as problem:
            logger.exception("the tokens of an answer could not be made a text")
            raise GenerationFailed("the tokens of the answer could not be made a text") from problem
        finally:
            self._pending = []
        return str(self._detokenizer.get_next_output_text(True, True))

    def _look(self, output: Any, reason: Any, now: float) -> Any:
        """What vLLM's output processor does with each output."""
        ids, before = output.new_token_ids, self._detokenizer.num_output_tokens()
        if self._detokenizer.update(ids, reason == self._stop_reason):
            reason = self._stop_reason
            kept = self._detokenizer.num_output_tokens() - before  # several tokens can come in one step
            if kept < len(ids):
                del ids[kept:]
                if output.new_logprobs is not None:
                    output.new_logprobs = output.new_logprobs.slice_request(0, kept)
        logprobs = None
        if self._logprobs is not None:
            self._logprobs.update_from_output(output)
            logprobs = self._logprobs.logprobs[-len(ids) :] if ids else ()
        text = self._detokenizer.get_next_output_text(reason is not None, True)
        ended = None if reason is None else str(reason)
        self.collector.add(ids, now, self.cached_tokens, self.stats, ended, text, logprobs)
        return reason
