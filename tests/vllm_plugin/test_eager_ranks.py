"""Ranks of tokens as vLLM counts them, and nothing compiled for them."""

from __future__ import annotations

import pytest
import torch
from torch._dynamo.utils import counters
from vllm.v1.sample import sampler
from vllm.v1.sample.ops.logprobs import batched_count_greater_than

from trivet.vllm_plugin.eager_ranks import ranks, register


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "batched_count_greater_than", batched_count_greater_than)  # put back afterwards
    register()


def test_they_are_those_that_vllm_counts() -> None:
    logprobs = torch.randn(7, 50, generator=torch.Generator().manual_seed(3)).round(decimals=1)  # with ties
    chosen = logprobs.gather(-1, torch.arange(7).unsqueeze(-1))
    plain = batched_count_greater_than._torchdynamo_orig_callable
    assert ranks(logprobs, chosen).tolist() == plain(logprobs, chosen).tolist()


def test_the_sampler_compiles_nothing_for_log_probabilities() -> None:
    counters.clear()
    logprobs = torch.tensor([[0.1, 0.5, 0.4], [0.7, 0.2, 0.1]]).log()
    found = sampler.Sampler.gather_logprobs(logprobs, 2, torch.tensor([2, 0]))
    assert found.selected_token_ranks.tolist() == [2, 1]
    assert found.logprob_token_ids.tolist() == [[2, 1, 2], [0, 0, 1]]
    assert not counters["stats"], "torch.compile has been at work"
