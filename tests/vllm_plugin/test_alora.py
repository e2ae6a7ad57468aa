"""Activated LoRA: which tokens are whose, in vLLM's keys and in its maps, and what it does elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trivet.vllm_plugin import alora, alora_v2, prefix_salt
from trivet.vllm_plugin.activation import NEVER, activated_from, last_occurrence, start_of
from trivet.vllm_plugin.wrapping import wrapped_by

INVOCATION = [7, 9]
BLOCK = 4
PROMPT = [1, 7, 9, 2, 3, 4, 7, 9, 5, 7]


@pytest.fixture
def lora(tmp_path: Path) -> SimpleNamespace:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 8, "alora_invocation_tokens": INVOCATION}))
    return SimpleNamespace(lora_name="a", lora_path=str(tmp_path), lora_int_id=3)


@pytest.fixture
def plain(tmp_path: Path) -> SimpleNamespace:
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": 8, "alora_invocation_tokens": None}))
    return SimpleNamespace(lora_name="b", lora_path=str(folder), lora_int_id=4)


def sampling(start: object = None) -> SimpleNamespace:
    return SimpleNamespace(extra_args=None if start is None else activated_from(start))  # type: ignore[arg-type]


@pytest.mark.engine
def test_the_last_occurrence_counts_as_in_peft(lora: SimpleNamespace) -> None:
    import torch
    from peft import LoraConfig
    from peft.tuners.lora.variants import calculate_alora_offsets

    config = {"default": LoraConfig(task_type="CAUSAL_LM", alora_invocation_tokens=INVOCATION)}
    for prompt in (PROMPT, [7, 9], [7, 9, 7, 9], [7, 7, 9], [9, 7], [1, 7], [7]):
        offset = calculate_alora_offsets(config, "default", torch.tensor([prompt]))[0]
        assert start_of(lora, prompt, sampling()) == (NEVER if offset is None else len(prompt) - offset)


def test_what_the_request_says_goes_before_what_its_text_says(lora: SimpleNamespace, plain: SimpleNamespace) -> None:
    assert start_of(lora, PROMPT, sampling(1)) == 1
    assert start_of(lora, PROMPT, sampling(99)) == len(PROMPT)
    assert start_of(lora, PROMPT, sampling(-1)) == 0
    assert start_of(lora, PROMPT, sampling("1")) == 6
    assert start_of(lora, PROMPT, sampling(True)) == 6
    assert start_of(lora, None, sampling()) == NEVER
    assert start_of(plain, PROMPT, sampling(3)) == 0
    assert start_of(None, PROMPT, sampling(3)) == 0


def keys(request: Any, start: int, end: int, index: int) -> Any:
    """vLLM's own function, by what it says of adapters and salts."""
    found: list[Any] = []
    if request.lora_request:
        found.append(("lora", request.lora_request.lora_name, request.lora_request.lora_path))
    if request.cache_salt and start == 0:
        found.append(("cache_salt", request.cache_salt))
    return tuple(found) or None, index


def scheduled(lora: Any, start: int | None = None, salt: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(
        lora_request=lora,
        prompt_token_ids=list(PROMPT),
        num_prompt_tokens=len(PROMPT),
        sampling_params=sampling(start),
        cache_salt=salt,
    )


def blocks(module: Any, request: Any, count: int = 3) -> list[Any]:
    call = module.generate_block_hash_extra_keys
    return [call(request, at, at + BLOCK, 0)[0] for at in range(0, count * BLOCK, BLOCK)]


def test_blocks_before_the_invocation_have_the_keys_of_the_base(lora: SimpleNamespace, plain: SimpleNamespace) -> None:
    module = SimpleNamespace(generate_block_hash_extra_keys=keys)
    alora.mend_keys(module)
    own = ("lora", "a", lora.lora_path)
    assert blocks(module, scheduled(lora)) == [None, ((*own, 2),), (own,)]
    assert blocks(module, scheduled(lora, start=4)) == [None, (own,), (own,)]
    assert blocks(module, scheduled(lora, start=5))[1] == ((*own, 1),)  # the same tokens, other keys and values
    assert blocks(module, scheduled(plain)) == [(("lora", "b", plain.lora_path),)] * 3
    assert blocks(module, scheduled(None)) == [None] * 3


@pytest.mark.parametrize("order", [(alora.mend_keys, prefix_salt.mend), (prefix_salt.mend, alora.mend_keys)])
def test_a_tenants_salt_and_the_adapter_each_have_their_blocks(lora: SimpleNamespace, order: Any) -> None:
    module = SimpleNamespace(generate_block_hash_extra_keys=keys)
    for mend in (*order, *order):  # a second time changes nothing
        mend(module)
    assert prefix_salt.active(module)
    assert wrapped_by(module.generate_block_hash_extra_keys, alora.__name__)
    request = scheduled(lora, salt=prefix_salt.salt_after(4, "tenant"))
    own = ("lora", "a", lora.lora_path)
    assert blocks(module, request) == [None, ((*own, 2), ("cache_salt", "@tenant")), (own,)]


def test_a_prompt_that_grows_is_looked_at_again(lora: SimpleNamespace) -> None:
    module = SimpleNamespace(generate_block_hash_extra_keys=keys)
    alora.mend_keys(module)
    request = scheduled(lora)
    assert blocks(module, request)[1] is not None
    request.prompt_token_ids += [2, 2, 2, *INVOCATION]
    request.num_prompt_tokens = len(request.prompt_token_ids)
    assert blocks(module, request) == [None] * 3


class Batch:
    """As vLLM's `InputBatch`, by what is used of it."""

    def __init__(self) -> None:
        self.req_ids: list[str] = []
        self.adapters: list[int] = []
        self.num_computed_tokens_cpu = np.zeros(8, dtype=np.int32)

    def add_request(self, request: Any) -> int:
        self.req_ids.append(request.req_id)
        self.adapters.append(request.lora_request.lora_int_id if request.lora_request else 0)
        return len(self.req_ids) - 1

    def make_lora_inputs(self, num_scheduled_tokens: Any, num_sampled_tokens: Any) -> Any:
        adapters = np.array(self.adapters)
        made = (tuple(adapters.repeat(num)) for num in (num_sampled_tokens, num_scheduled_tokens))
        return *made, {3, 4}


def test_tokens_before_the_invocation_are_the_bases(lora: SimpleNamespace, plain: SimpleNamespace) -> None:
    class Mended(Batch):
        pass

    alora.mend_batch(Mended)
    batch = Mended()
    for name, adapter in (("x", lora), ("y", None), ("z", plain), ("w", lora)):
        request = SimpleNamespace(
            req_id=name, lora_request=adapter, prompt_token_ids=PROMPT, sampling_params=sampling()
        )
        batch.add_request(request)
    batch.num_computed_tokens_cpu[:4] = [4, 0, 2, 0]
    sampled, tokens, adapters = batch.make_lora_inputs(np.array([6, 2, 2, 5]), np.array([1, 1, 1, 1]))
    assert tokens == (0, 0, 3, 3, 3, 3, 0, 0, 4, 4, 0, 0, 0, 0, 0)
    assert sampled == (3, 0, 4, 0)
    assert adapters == {3, 4}
    batch.num_computed_tokens_cpu[:4] = [10, 2, 4, 5]  # x decodes, with two tokens to verify
    sampled, tokens, _ = batch.make_lora_inputs(np.array([3, 1, 1, 2]), np.array([3, 1, 1, 1]))
    assert tokens == (3, 3, 3, 0, 4, 0, 3)
    assert sampled == (3, 3, 3, 0, 4, 3)


@pytest.mark.engine
def test_the_runner_of_gpus_has_the_same_map(lora: SimpleNamespace, plain: SimpleNamespace) -> None:
    """vLLM's own `LoraState`, and a runner by what is used of it."""
    from vllm.v1.worker.gpu.lora_utils import LoraState

    class State(LoraState):
        pass

    class Runner:
        def __init__(self) -> None:
            self.lora_state = State(8)
            self.req_states = SimpleNamespace(num_computed_tokens_np=np.zeros(8, dtype=np.int32))

        def add_requests(self, scheduler_output: Any) -> None:
            for index, new in enumerate(scheduler_output.scheduled_new_reqs):
                self.lora_state.add_request(new.req_id, index, new.lora_request)

    alora_v2.mend(Runner, State)
    runner = Runner()
    new = [
        SimpleNamespace(req_id=name, lora_request=one, prompt_token_ids=PROMPT, sampling_params=sampling())
        for name, one in (("x", lora), ("y", None), ("z", plain))
    ]
    hashable = {id(one): one for one in (lora, plain)}
    State.get_activate_loras = lambda self, ids: set(hashable)
    runner.add_requests(SimpleNamespace(scheduled_new_reqs=new))
    runner.req_states.num_computed_tokens_np[:3] = [4, 0, 2]
    order = np.array([2, 0, 1])
    last, tokens, _ = runner.lora_state.make_lora_inputs(["z", "x", "y"], order, np.array([2, 5, 2]))
    assert tokens == (4, 4, 0, 0, 3, 3, 3, 0, 0)
    assert last == (4, 3, 0)
    last, tokens, _ = runner.lora_state.make_lora_inputs(["x"], np.array([0]), np.array([2]))
    assert (last, tokens) == ((0,), (0, 0))


class Helper:
    """As vLLM's `PEFTHelper`, by what is used of it."""

    alora_invocation_tokens: list[int] | None = INVOCATION

    def _validate_features(self) -> list[str]:
        return ["vLLM does not support Activated LoRA (aLoRA).", "vLLM does not yet support DoRA."]

    def validate_legal(self, lora_config: Any) -> None:
        if found := self._validate_features():
            raise ValueError(" ".join(found))


def test_another_version_refuses_and_says_why() -> None:
    class Other(Helper):
        pass

    alora.explain(Other, "9.9.9")
    with pytest.raises(ValueError, match=r"aLoRA\).*This is vLLM 9\.9\.9, and .* checked for 0\.32\.0 only"):
        Other().validate_legal(SimpleNamespace())


def test_what_else_is_refused_stays_refused() -> None:
    class Mended(Helper):
        pass

    alora.mend_check(Mended)
    with pytest.raises(ValueError, match=r"^vLLM does not yet support DoRA\.$"):
        Mended().validate_legal(SimpleNamespace())

    class Sound(Helper):
        def _validate_features(self) -> list[str]:
            return ["vLLM does not support Activated LoRA (aLoRA)."]

    alora.mend_check(Sound)
    Sound().validate_legal(SimpleNamespace(specialize_active_lora=False))
    with pytest.raises(ValueError, match="specialize_active_lora"):
        Sound().validate_legal(SimpleNamespace(specialize_active_lora=True))


def test_a_step_may_have_more_runs_of_tokens_than_requests() -> None:
    class Wrapper:
        def __init__(self, max_num_batched_tokens: int, max_batches: int, device: str) -> None:
            self.room = max_batches

    alora.mend_buffers(Wrapper)
    assert Wrapper(64, 16, "cpu").room == 64
    assert Wrapper(8, 16, device="cpu").room == 16


def test_an_invocation_that_is_looked_for_is_found_where_it_is_last() -> None:
    assert last_occurrence([1] * 1000, [1, 1]) == 998
    assert last_occurrence([1, 2], [1, 2, 3]) == NEVER
