"""Every engine argument that the configuration takes reaches vLLM's own, and those that it does not are all known."""

from __future__ import annotations

import dataclasses
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine.tiny_model import make_model
from trivet.backends.launch.arguments import argument_problems, engine_arguments
from trivet.backends.vllm_settings import EmbeddedSettings
from trivet.config.engine_arguments import ACCEPTED, NOT_SERVED, OURS

pytestmark = pytest.mark.engine

# By name: a value that is not vLLM's default, and where vLLM's configuration has it once an engine is configured. None:
# a CPU refuses the value or overwrites it, so it is read back from vLLM's arguments alone.
SAMPLES: dict[str, tuple[Any, str | None]] = {
    "quantization": ("fp8", None),
    "quantization_config": ({"moe": "fp8_per_block"}, None),
    "allow_deprecated_quantization": (True, "model_config.allow_deprecated_quantization"),
    "hf_overrides": ({"max_position_embeddings": 4096}, "model_config.hf_config.max_position_embeddings"),
    "model_impl": ("transformers", "model_config.model_impl"),
    "kv_cache_dtype": ("bfloat16", None),
    "kv_cache_dtype_skip_layers": (["0"], "cache_config.kv_cache_dtype_skip_layers"),
    "disable_sliding_window": (True, "model_config.disable_sliding_window"),
    "attention_backend": ("FLASH_ATTN", None),
    "attention_config": ({"flash_attn_version": 2}, "attention_config.flash_attn_version"),
    "disable_cascade_attn": (False, None),
    "disable_hybrid_kv_cache_manager": (True, "scheduler_config.disable_hybrid_kv_cache_manager"),
    "num_gpu_blocks_override": (77, "cache_config.num_gpu_blocks_override"),
    "kv_offloading_size": (0.5, None),
    "kv_offloading_backend": ("lmcache", None),
    "kv_sharing_fast_prefill": (True, None),
    "mamba_cache_dtype": ("float32", "cache_config.mamba_cache_dtype"),
    "mamba_ssm_cache_dtype": ("float32", "cache_config.mamba_ssm_cache_dtype"),
    "mamba_block_size": (128, None),
    "mamba_cache_mode": ("align", None),
    "mamba_backend": ("flashinfer", None),
    "max_num_batched_tokens": (1536, "scheduler_config.max_num_batched_tokens"),
    "max_num_scheduled_tokens": (1000, "scheduler_config.max_num_scheduled_tokens"),
    "enable_chunked_prefill": (False, None),
    "long_prefill_token_threshold": (128, "scheduler_config.long_prefill_token_threshold"),
    "async_scheduling": (True, None),
    "scheduler_reserve_full_isl": (False, "scheduler_config.scheduler_reserve_full_isl"),
    "watermark": (0.1, "scheduler_config.watermark"),
    "enforce_eager": (False, "model_config.enforce_eager"),
    "compilation_config": ({"cudagraph_num_of_warmups": 4}, "compilation_config.cudagraph_num_of_warmups"),
    "optimization_level": (1, None),
    "performance_mode": ("throughput", "performance_mode"),
    "cudagraph_capture_sizes": ([1, 2], None),
    "max_cudagraph_capture_size": (2, None),
    "kernel_config": ({"moe_backend": "triton"}, "kernel_config.moe_backend"),
    "enable_flashinfer_autotune": (True, None),
    "linear_backend": ("triton", None),
    "moe_backend": ("triton", "kernel_config.moe_backend"),
    "speculative_config": (
        {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 4},
        "speculative_config.num_speculative_tokens",
    ),
    "enable_expert_parallel": (True, None),
    "enable_eplb": (True, None),
    "eplb_config": ({"window_size": 99}, "parallel_config.eplb_config.window_size"),
    "expert_placement_strategy": ("round_robin", None),
    "enable_ep_weight_filter": (True, "parallel_config.enable_ep_weight_filter"),
    "all2all_backend": ("deepep_low_latency", None),
    "decode_context_parallel_size": (2, None),
    "dcp_comm_backend": ("a2a", None),
    "dcp_kv_cache_interleave_size": (2, None),
    "cp_kv_cache_interleave_size": (2, None),
    "disable_custom_all_reduce": (True, "parallel_config.disable_custom_all_reduce"),
    "distributed_timeout_seconds": (99, "parallel_config.distributed_timeout_seconds"),
    "device_ids": ([1], None),
    "numa_bind": (True, None),
    "numa_bind_nodes": ([0], None),
    "numa_bind_cpus": (["0"], None),
    "cpu_offload_gb": (1.5, "offload_config.uva.cpu_offload_gb"),
    "cpu_offload_params": (["gate"], None),
    "offload_backend": ("uva", "offload_config.offload_backend"),
    "offload_group_size": (2, None),
    "offload_num_in_group": (2, None),
    "offload_prefetch_step": (2, None),
    "offload_params": (["gate"], None),
    "max_parallel_loading_workers": (2, None),
    "safetensors_load_strategy": ("eager", "load_config.safetensors_load_strategy"),
    "safetensors_prefetch_num_threads": (3, "load_config.safetensors_prefetch_num_threads"),
    "safetensors_prefetch_block_size": (1 << 20, "load_config.safetensors_prefetch_block_size"),
    "fully_sharded_loras": (True, "lora_config.fully_sharded_loras"),
    "lora_dtype": ("bfloat16", "lora_config.lora_dtype"),
    "specialize_active_lora": (True, "lora_config.specialize_active_lora"),
    "language_model_only": (True, None),
    "limit_mm_per_prompt": ({"image": 0}, None),
    "skip_mm_profiling": (True, None),
    "kv_cache_metrics": (True, "observability_config.kv_cache_metrics"),
    "kv_cache_metrics_sample": (0.5, "observability_config.kv_cache_metrics_sample"),
    "cudagraph_metrics": (True, "observability_config.cudagraph_metrics"),
    "enable_mfu_metrics": (True, "observability_config.enable_mfu_metrics"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "tiny")


def settings(model: Path, **changes: Any) -> EmbeddedSettings:
    values: dict[str, Any] = {
        "name": "tiny", "model": model, "cache_folder": model.parent / "cache", "log_file": model.parent / "log",
        "max_model_len": 1024, "block_size": 32, "kv_cache_memory_bytes": 32 << 20, "max_num_seqs": 8,
    }  # fmt: skip
    return EmbeddedSettings(**(values | changes))


def found_in(config: Any, path: str) -> Any:
    for part in path.split("."):
        config = config[part] if isinstance(config, dict) else getattr(config, part)
    return config


def plain(value: Any) -> Any:
    """A value as the configuration has it."""
    if isinstance(value, IntEnum):
        return int(value)
    if isinstance(value, Enum):
        return value.name
    return sorted(value) if isinstance(value, set) else value


def test_every_argument_of_vllm_is_taken_or_refused_with_a_reason() -> None:
    from vllm.engine.arg_utils import AsyncEngineArgs

    names = {field.name for field in dataclasses.fields(AsyncEngineArgs)}
    assert names - ACCEPTED - OURS.keys() - NOT_SERVED.keys() == set()
    assert (ACCEPTED | OURS.keys() | NOT_SERVED.keys()) - names == set()
    assert len(ACCEPTED) + len(OURS) + len(NOT_SERVED) == len(names)


def test_every_taken_argument_has_a_sample() -> None:
    assert SAMPLES.keys() == ACCEPTED


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_it_reaches_vllm(name: str, model: Path) -> None:
    value, path = SAMPLES[name]
    assert list(argument_problems({name: value})) == []
    arguments = engine_arguments(settings(model, engine_args={name: value}), True)
    reached = getattr(arguments, name)
    assert reached != getattr(engine_arguments(settings(model), True), name)
    if not isinstance(value, dict):
        assert str(plain(reached)).casefold() == str(value).casefold()
    if path is not None:
        config = arguments.create_engine_config()
        expected = next(iter(value.values())) if isinstance(value, dict) else value
        if name == "speculative_config":
            expected = value["num_speculative_tokens"]
        assert str(plain(found_in(config, path))).removeprefix("torch.") == str(expected)


def test_the_fields_reach_vllm(model: Path) -> None:
    wanted = settings(model, tensor_parallel_size=2, pipeline_parallel_size=3, trust_remote_code=True, max_loras=0)
    arguments = engine_arguments(wanted, False)
    assert (arguments.tensor_parallel_size, arguments.pipeline_parallel_size) == (2, 3)
    assert (arguments.trust_remote_code, arguments.enable_lora) == (True, False)
    assert (arguments.dtype, arguments.enforce_eager) == ("auto", False)  # what only a CPU needs is left to vLLM
    assert engine_arguments(settings(model), False).gpu_memory_utilization == 0.92
    config = engine_arguments(settings(model), True).create_engine_config()
    assert str(config.load_config.load_format) == "safetensors"
    assert not config.model_config.trust_remote_code
    assert config.cache_config.enable_prefix_caching
    assert config.cache_config.prefix_caching_hash_algo == "sha256"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("quantization", "awqq", "'awqq' is unknown (did you mean awq?), expected one of awq, "),
        ("quantization", 8, "8 is unknown, expected one of awq, "),
        ("kv_cache_dtype", "fp9", "input should be 'auto', 'float16'"),
        ("enforce_eager", "yes", "input should be a valid boolean"),
        ("max_num_batched_tokens", "2048", "input should be a valid integer"),
        ("max_num_batched_tokens", True, "input should be a valid integer"),
        ("attention_backend", "FLASH_ATN", "did you mean FLASH_ATTN"),
        ("compilation_config", {"modde": 3}, "modde: unexpected keyword argument"),
        ("compilation_config", 3, "input should be an object"),
        ("speculative_config", "ngram", "input should be an object"),
        ("cpu_offload_gb", "4", "input should be a valid number"),
        ("optimization_level", 9, "9 is not a valid OptimizationLevel"),
        ("cudagraph_capture_sizes", ["1"], "input should be a valid integer"),
    ],
)
def test_a_value_that_vllm_does_not_take_is_told(name: str, value: Any, expected: str) -> None:
    ((found, problem),) = argument_problems({"enforce_eager": True, name: value})
    assert found == name
    assert expected.casefold() in problem.casefold()
    assert len(problem) <= 500
