"""Which of vLLM's engine arguments `backends.<b>.engine_args` takes, and why it takes no other.

Every argument of vLLM 0.32's `AsyncEngineArgs` is in exactly one of the three tables (a test compares them): an
argument that a new version of vLLM brings is refused until somebody has looked at it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

ACCEPTED = frozenset(
    """
    quantization quantization_config allow_deprecated_quantization hf_overrides model_impl
    kv_cache_dtype kv_cache_dtype_skip_layers disable_sliding_window attention_backend attention_config
    disable_cascade_attn disable_hybrid_kv_cache_manager num_gpu_blocks_override kv_offloading_size
    kv_offloading_backend kv_sharing_fast_prefill mamba_cache_dtype mamba_ssm_cache_dtype mamba_block_size
    mamba_cache_mode mamba_backend
    max_num_batched_tokens max_num_scheduled_tokens enable_chunked_prefill long_prefill_token_threshold
    async_scheduling scheduler_reserve_full_isl watermark
    enforce_eager compilation_config optimization_level performance_mode cudagraph_capture_sizes
    max_cudagraph_capture_size kernel_config enable_flashinfer_autotune linear_backend moe_backend
    speculative_config
    enable_expert_parallel enable_eplb eplb_config expert_placement_strategy enable_ep_weight_filter all2all_backend
    decode_context_parallel_size dcp_comm_backend dcp_kv_cache_interleave_size cp_kv_cache_interleave_size
    disable_custom_all_reduce distributed_timeout_seconds device_ids numa_bind numa_bind_nodes numa_bind_cpus
    cpu_offload_gb cpu_offload_params offload_backend offload_group_size offload_num_in_group offload_prefetch_step
    offload_params max_parallel_loading_workers safetensors_load_strategy safetensors_prefetch_num_threads
    safetensors_prefetch_block_size
    fully_sharded_loras lora_dtype specialize_active_lora
    language_model_only limit_mm_per_prompt skip_mm_profiling
    kv_cache_metrics kv_cache_metrics_sample cudagraph_metrics enable_mfu_metrics
    """.split()  # noqa: SIM905
)

_FIELD = "is a setting of its own: write it one level up, as backends.<name>.{}"
_PROMPTS = "Trivet tokenizes prompts itself, from the files in the model's folder"
_LOG = "Trivet sets up the engine's logs: they are in logs/ in the data folder"
_TEXT = "Trivet serves text alone; language_model_only leaves the other parts of a model out"
_REPLICAS = (
    "each rank has a prefix cache of its own, and Trivet primes and accounts for one; use tensor_parallel_size and "
    "pipeline_parallel_size for a larger model, and one server per replica for more throughput"
)
_ONE_MACHINE = "an engine of Trivet runs on one machine, in processes that Trivet watches"
_SAFETENSORS = "Trivet loads safetensors only: other formats can run code"
_PICKED = "a model has one set of files: name the folder, or the hub repository and its revision, in model"

OURS: Mapping[str, str] = {
    **{
        name: _FIELD.format(name)
        for name in (
            *("model", "dtype", "block_size", "max_model_len", "max_num_seqs", "kv_cache_memory_bytes"),
            *("gpu_memory_utilization", "tensor_parallel_size", "pipeline_parallel_size", "trust_remote_code"),
            *("enable_lora", "max_loras", "max_cpu_loras", "max_lora_rank"),
        )
    },
    **dict.fromkeys(("revision", "code_revision", "tokenizer_revision", "model_weights", "hf_config_path"), _PICKED),
    **dict.fromkeys(("tokenizer", "tokenizer_mode", "skip_tokenizer_init", "tokens_only"), _PROMPTS),
    **dict.fromkeys(
        ("load_format", "pt_load_map_location", "ignore_patterns", "model_loader_extra_config"), _SAFETENSORS
    ),
    **dict.fromkeys(
        (
            *("logging_config", "log_level", "log_config_file", "enable_log_requests", "disable_log_stats"),
            *("aggregate_engine_logging", "enable_logging_iteration_details", "use_tqdm_on_load"),
        ),
        _LOG,
    ),
    **dict.fromkeys(
        (
            *("data_parallel_size", "data_parallel_rank", "data_parallel_start_rank", "data_parallel_size_local"),
            *(
                "data_parallel_address",
                "data_parallel_rpc_port",
                "data_parallel_hybrid_lb",
                "data_parallel_external_lb",
            ),
            *("data_parallel_multi_port_external_lb", "data_parallel_backend", "enable_elastic_ep"),
            *("elastic_ep_max_dp_size", "enable_dbo", "ubatch_size", "dbo_decode_token_threshold", "dp_sync_interval"),
            *("dbo_prefill_token_threshold", "disable_nccl_for_dp_synchronization"),
        ),
        _REPLICAS,
    ),
    **dict.fromkeys(
        (
            *("distributed_executor_backend", "master_addr", "master_port", "nnodes", "node_rank", "worker_cls"),
            *("worker_extension_cls", "ray_workers_use_nsight", "scheduler_cls", "cpu_distributed_timeout_seconds"),
            *("shutdown_timeout", "enable_fault_tolerance", "fault_tolerance_config", "_api_process_count"),
            *("_api_process_rank", "fail_on_environ_validation"),
        ),
        _ONE_MACHINE,
    ),
    "served_model_name": "an engine is called as its backend is in the configuration",
    "download_dir": "models are kept in models/ in the data folder",
    "hf_token": "the token is read from the environment (HF_TOKEN), never from the configuration",
    "config_format": "a model's folder is in Hugging Face format",
    "enable_prefix_caching": "prefix caching is always on: receipts account for cached tokens",
    "prefix_caching_hash_algo": "SHA-256 keeps the cached blocks of tenants apart; weaker hashes may collide",
    "scheduling_policy": "requests are scheduled by the priority that clients send",
    "seed": "set routes.<r>.variants.<v>.sampling.seed instead",
    "generation_config": "set routes.<r>.variants.<v>.sampling instead",
    "override_generation_config": "set routes.<r>.variants.<v>.sampling instead",
    "structured_outputs_config": "Trivet tries schemas out with the compiler that it sets here",
    "max_num_queued_reqs": "set admission.max_queued instead",
    "max_num_queued_tokens": "set admission.max_queued_tokens instead",
    "max_num_active_seqs": "set max_num_seqs, and admission.max_running, instead",
    "stream_interval": "Trivet joins tokens into messages itself",
    "lora_target_modules": "the engine would leave the other modules of an adapter out, silently",
    **dict.fromkeys(("spec_method", "spec_model", "spec_tokens"), "set speculative_config instead"),
    "logits_processors": "it would run code from outside on every answer",
}

_OTHER = "Trivet has no use for it, and does not know what it would change"
_RESEARCH = "it is for training and research; answers would not be what receipts say"
NOT_SERVED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("allowed_local_media_path", "allowed_media_domains", "enable_mm_embeds", "interleave_mm_strings"),
            *("media_io_kwargs", "mm_processor_kwargs", "mm_processor_cache_gb", "mm_processor_cache_type"),
            *("mm_hasher_algorithm", "mm_shm_cache_max_object_size_mb", "mm_encoder_only", "mm_encoder_tp_mode"),
            *("mm_encoder_attn_backend", "mm_encoder_attn_dtype", "mm_encoder_fp8_scale_path"),
            *("mm_encoder_fp8_scale_save_path", "mm_encoder_fp8_scale_save_margin", "video_pruning_rate"),
            *("video_pruning_method", "mm_tensor_ipc", "mm_processor_device", "mm_ipc_gpu_memory_gb"),
            *("mm_device_do_normalize", "default_mm_loras", "enable_tower_connector_lora", "disable_chunked_mm_input"),
            *("enable_mm_processor_stats", "ec_transfer_config", "ec_manager_config", "io_processor_plugin"),
            *("enable_prompt_embeds", "enable_shm_tensor_arena"),
        ),
        _TEXT,
    ),
    **dict.fromkeys(
        (
            *("enable_return_routed_experts", "return_sampling_mask", "enable_trace_replay", "weight_transfer_config"),
            *("enable_sleep_mode", "sleep_mode_offload_cudagraph", "sleep_preserve_parameter_names"),
            *("model_class_overrides", "watermark_config", "diffusion_config", "use_fp64_gumbel"),
        ),
        _RESEARCH,
    ),
    **dict.fromkeys(("runner", "convert", "pooler_config", "max_lora_cls_labels"), "Trivet generates text alone"),
    **dict.fromkeys(("max_logprobs", "logprobs_mode"), "log probabilities are of one documented kind, 20 at most"),
    "reasoning_parser": "backends.<backend>.reasoning_parser sets it",
    **dict.fromkeys(("reasoning_parser_plugin", "reasoning_config"), "the parsers of answers are vLLM's own"),
    **dict.fromkeys(("kv_transfer_config", "kv_events_config"), "an engine's KV cache is its own"),
    **dict.fromkeys(
        (
            *("additional_config", "aux_output_config", "engram_config", "mamba_config", "profiler_config"),
            *("renderer_num_workers", "ir_op_priority", "prefill_context_parallel_size", "dcp_q_replicate"),
            *("enable_hc_sp", "enable_batch_sharded_sampling", "sparse_indexer_topk_backend"),
            *("prefix_cache_retention_interval", "prefix_match_unit", "long_prefill_token_threshold_adaptive"),
            *("prefill_schedule_interval", "enable_mixed_moe_lora_format", "enable_moe_shared_loras"),
            *("show_hidden_metrics_for_version", "otlp_traces_endpoint", "collect_detailed_traces"),
            *("per_request_spec_decode_metrics", "custom_histogram_buckets", "enable_layerwise_nvtx_tracing"),
            *("jit_monitor_mode", "jit_monitor_verbose", "enable_cumem_allocator", "enable_nccl_comm_suspend"),
            *("enable_mamba_shared_prefix_checkpoint", "replayssm_buffer_len", "use_replayssm", "mamba_ssu_algorithm"),
            *("enable_mamba_cache_stochastic_rounding", "mamba_cache_philox_rounds", "swa_bounded_replay"),
            *("gdn_prefill_backend", "kda_prefill_backend", "kda_decode_backend"),
        ),
        _OTHER,
    ),
}

_OF_DRAFTS = {
    "draft_load_config": _SAFETENSORS,
    "revision": "speculative_config.model is a local folder, which has no revision",
    "code_revision": "speculative_config.model is a local folder, which has no revision",
    "target_model_config": "vLLM sets it",
    "target_parallel_config": "vLLM sets it",
    "draft_model_config": "vLLM sets it",
    "draft_parallel_config": "vLLM sets it",
}


def refused_arguments(arguments: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where in `engine_args` something is not taken, and why. Types are checked where vLLM is (`trivet.backends`)."""
    for name in arguments:
        if name in ACCEPTED:
            continue
        reason = OURS.get(name) or NOT_SERVED.get(name)
        yield (name,), f"is not taken: {reason}" if reason else f"is not an engine argument of vLLM{_near(name)}"
    speculative = arguments.get("speculative_config")
    if isinstance(speculative, Mapping):
        for name in speculative:
            if name in _OF_DRAFTS:
                yield ("speculative_config", name), f"is not taken: {_OF_DRAFTS[name]}"


def _near(name: str) -> str:
    """What may have been meant."""
    near = get_close_matches(name.replace("-", "_"), [*ACCEPTED, *OURS], n=3, cutoff=0.7)
    return f"; did you mean {' or '.join(near)}?" if near else "; docs/models.md lists those that Trivet takes"
