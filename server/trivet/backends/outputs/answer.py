"""One answer as the engine's process sends it. Source: vLLM 0.32, `vllm.v1.engine.output_processor`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from trivet.backends.answers.coalescing import Coalescer
from trivet.errors import GenerationFailed

logger = logging.getLogger(__name__)
ENOUGH = (16, 256)  # tokens of a prompt's end that are tried for what its answer's text goes on from
CUT = "\ufffd"  # in place of a character of which a part is missing


class EngineAnswer:
    """Takes its outputs step by step.

    Its tokens become text when a chunk is due, by vLLM's own detokenizer. An answer that has to be looked at token by
    token is not put off: one with stop strings, with log probabilities, or that a parser takes apart.
    """

    def __init__(self, prepared: Any, tokenizer: Any, collector: Coalescer) -> None:
        """`prepared`: vLLM's `EngineCoreRequest`, with its id assigned."""
        from vllm.v1.engine import FinishReason
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
        self._detokenizer = _detokenizer_of(prepared, tokenizer)
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


def _detokenizer_of(prepared: Any, tokenizer: Any) -> Any:
    """vLLM's, which reads the whole prompt again before an answer's first token: here only its end."""
    from tokenizers.decoders import DecodeStream
    from vllm.v1.engine.detokenizer import FastIncrementalDetokenizer, IncrementalDetokenizer

    made = IncrementalDetokenizer.from_new_request(tokenizer, prepared)
    if isinstance(made, FastIncrementalDetokenizer):
        skips = made.skip_special_tokens
        made.stream = DecodeStream(end_of(prepared.prompt_token_ids, made.tokenizer, skips), skips)
    return made


def end_of(ids: Sequence[int], tokenizer: Any, skip_special_tokens: bool) -> Sequence[int]:
    """As many of the last ones as tell how text goes on from them: with some text, whose last character is whole.

    `tokenizer`: of the library tokenizers. A decoder looks no further back than to the token before.
    """
    for number in ENOUGH:
        if number < len(ids):
            text = tokenizer.decode(ids[-number:], skip_special_tokens=skip_special_tokens)
            if text and not text.endswith(CUT):
                return ids[-number:]
    return ids
