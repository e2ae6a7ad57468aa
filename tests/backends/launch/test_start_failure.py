"""The root cause of a failed start: out of exceptions and out of logs as vLLM writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.backends.launch.failure import cause_in, log_size, remedy_of, told_failure

GENERIC = "Engine core initialization failed. See root cause above. Failed core proc(s): {}"
LOG = """\
2026-11-28 10:00:00,000 77 ERROR vllm.v1.engine.core: EngineCore failed to start.
Traceback (most recent call last):
  File "core.py", line 1, in run
    raise ValueError("first")
ValueError: first

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "core.py", line 2, in run
    raise
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.
(EngineCore_DP0 pid=77) Process EngineCore_DP0:
(EngineCore_DP0 pid=77) Traceback (most recent call last):
(EngineCore_DP0 pid=77) RuntimeError: Worker initialization failed due to an exception. See stack trace for root cause.
2026-11-28 10:00:01,000 77 INFO vllm: bye
"""


def test_the_last_exception_that_is_no_consequence() -> None:
    assert cause_in(LOG) == "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    assert cause_in("2026 INFO all is well\n") is None


def test_messages_of_several_lines_are_joined() -> None:
    log = (
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
        "  Value error, the context is too long [type=value_error, input_value=ArgsKwargs(1), input_type=ArgsKwargs]\n"
        "    For further information visit https://x.invalid/v\n"
    )
    assert cause_in(log) == "the context is too long"


def test_what_vllm_raised_itself_is_the_cause(tmp_path: Path) -> None:
    told = told_failure(ValueError("No CUDA GPUs are available"), tmp_path / "engine.log", 0)
    assert told.startswith("No CUDA GPUs are available. The GPU cannot be used: check the driver with nvidia-smi")
    assert told.endswith(f" The whole log: {tmp_path / 'engine.log'}")


def test_only_this_start_s_part_of_the_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    assert log_size(log) == 0
    log.write_text("ValueError: of an earlier start\n")
    offset = log_size(log)
    told = told_failure(RuntimeError(GENERIC), log, offset)
    assert told.startswith("its process ended without saying why. The whole log")
    with log.open("a") as file:
        file.write(LOG)
    told = told_failure(RuntimeError(GENERIC), log, offset)
    assert told.startswith(
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. The model needs more"
    )
    log.write_text("OSError: [Errno 28] No space left on device\n")  # it was rotated meanwhile
    assert "Free disk space" in told_failure(RuntimeError(GENERIC), log, 10_000)


def test_a_killed_process(tmp_path: Path) -> None:
    problem = RuntimeError(GENERIC.replace("{}", "{'EngineCore_DP0': -9}"))
    assert "killed (signal 9), as the system does when memory runs out" in told_failure(problem, tmp_path / "no", 0)


def test_it_is_bounded(tmp_path: Path) -> None:
    assert len(told_failure(ValueError("x" * 10_000), tmp_path / "log", 0)) < 1000


@pytest.mark.parametrize(
    ("cause", "part"),
    [
        ("16.0 GiB KV cache is needed, which is larger than the available KV cache memory (2 GiB)", "kv_cache_memory"),
        ("User-specified max_model_len (9) is greater than the derived max_model_len", "Lower max_model_len"),
        ("Model architectures ['X'] are not supported for now.", "does not know this kind of model"),
        ("Unknown quantization method: x", "Take the quantization"),
        ("Bfloat16 is only supported on GPUs with compute capability of at least 8.0", "Set dtype to float16"),
        ("Free memory on device (1/2 GiB) is less than desired GPU memory utilization", "Lower gpu_memory_utilization"),
        ("[Errno 98] Address already in use", "Another process uses the port"),
        ("OSError: [Errno 28] No space left on device", "Free disk space"),
        (
            "Total number of attention heads (2) must be divisible by tensor parallel size (3).",
            "another tensor_parallel",
        ),
        ("contains custom code which must be executed, trust_remote_code=True", "set trust_remote_code: true"),
    ],
)
def test_well_known_causes_have_a_remedy(cause: str, part: str) -> None:
    assert part in remedy_of(cause)


def test_others_have_none() -> None:
    assert remedy_of("the moon is full") == ""
