"""Why an engine did not start: the root cause, out of an exception or out of the engine's log, and what to do."""

from __future__ import annotations

import re
from pathlib import Path

READ_BYTES = 1 << 20
_LONGEST = 700
_MOST_LOOKED_AT = 4096  # characters of a message: some patterns take the square of it
_PREFIX = re.compile(r"^\([^()]*pid=\d+\) ?")  # that vLLM puts before each line of a child's output
_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Exit|Interrupt|Fault): .+")
_BARE = re.compile(r"^(?:[A-Za-z_]\w*\.)*(?P<name>[A-Za-z_]\w*): ")
# What only says that something else went wrong.
_CONSEQUENCE = re.compile(
    r"see (the )?(root cause|stack trace)|engine core initialization failed|initialization failed due to|"
    r"EngineDeadError|Worker proc .* died|cancelled|BrokenPipe|Broken pipe|shm_broadcast",
    re.IGNORECASE,
)
_KILLED = re.compile(r"Failed core proc\(s\): \{[^}]*: -9\b")
_REMEDIES = (
    (
        r"larger than the available KV cache memory|No available memory for the cache blocks|KV cache blocks",
        "Raise kv_cache_memory_bytes (on a GPU: gpu_memory_utilization), or lower max_model_len or max_num_seqs.",
    ),
    (
        r"less than requested memory for kv|less than desired CPU memory",
        "Lower kv_cache_memory_bytes, or free memory.",
    ),
    (
        r"less than desired GPU memory utilization",
        "Lower gpu_memory_utilization, or end what else runs on the GPU.",
    ),
    (
        r"out of memory|OutOfMemoryError|Cannot allocate memory|can't allocate memory",
        "The model needs more memory: raise tensor_parallel_size, use a quantized model, or lower max_num_seqs and "
        "max_model_len.",
    ),
    (
        r"max_model_len.*(greater|larger) than the derived|max_model_len.*max_position_embeddings",
        "Lower max_model_len to what the model was made for, or leave it out.",
    ),
    (
        r"[Mm]odel architectures? .*(not supported|failed to be inspected)|model type .* but Transformers does not",
        "vLLM does not know this kind of model: see its list of supported models, and engine_args.model_impl.",
    ),
    (
        r"[Qq]uantization|quant_method|Cannot find the config file for ",
        "Take the quantization that the model's config.json names, and one that this hardware supports.",
    ),
    (
        r"[Bb]float16 is only supported|dtype .* not supported|does not support (float16|bfloat16|half)",
        "Set dtype to float16 (or float32).",
    ),
    (
        r"No CUDA GPUs are available|no NVIDIA driver|libcuda\.so|CUDA driver version|no kernel image",
        "The GPU cannot be used: check the driver with nvidia-smi, and that the container was given the GPU.",
    ),
    (
        r"[Ww]orld size .*GPUs|not enough GPUs|invalid device ordinal|exceeds? the number of available",
        "Lower tensor_parallel_size or pipeline_parallel_size: there are not that many GPUs (device_ids picks them).",
    ),
    (r"divisible by", "Choose another tensor_parallel_size: it has to divide the model's attention heads."),
    (r"Address already in use|EADDRINUSE", "Another process uses the port: end it, and start again."),
    (r"No space left on device", "Free disk space: the data folder holds models, caches and logs."),
    (
        r"Cannot find any model weights|No such file.*safetensors",
        "The model's folder needs its weights as *.safetensors.",
    ),
    (r"trust_remote_code", "The model brings code of its own: read it, then set trust_remote_code: true."),
    (r"SafetensorError|[Hh]eader|incomplete metadata", "A file of weights is damaged: fetch or copy the model again."),
)


def told_failure(problem: BaseException, log_file: Path, offset: int) -> str:
    """What kept an engine from starting, with the usual remedy and where the whole log is.

    `problem`: what vLLM raised in this process. `offset`: the log's size in bytes before the start.
    """
    own = one_line(problem)
    cause = own
    if _CONSEQUENCE.search(own):
        found = cause_in(_read(log_file, offset))
        if found is not None:
            cause = found
        elif _KILLED.search(own):
            cause = "its process was killed (signal 9), as the system does when memory runs out"
        else:
            cause = "its process ended without saying why"
    remedy = remedy_of(cause)
    return f"{cause.rstrip('.')}.{' ' + remedy if remedy else ''} The whole log: {log_file}"


def log_size(log_file: Path) -> int:
    """Bytes that are in a log already; 0 if there is none."""
    return log_file.stat().st_size if log_file.is_file() else 0


def cause_in(log: str) -> str | None:
    """The last exception in a log that is no mere consequence of another, with its message; None if there is none."""
    lines = [_PREFIX.sub("", line) for line in log.splitlines()]
    for number in range(len(lines) - 1, -1, -1):
        if _EXCEPTION.match(lines[number]) and not _CONSEQUENCE.search(lines[number]):
            return _shortened(" ".join([lines[number], *_continued(lines[number + 1 :])]))
    return None


def one_line(problem: BaseException) -> str:
    """An exception as one line: its kind, unless that says nothing, and its message."""
    return _shortened(f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__)


def remedy_of(cause: str) -> str:
    """The usual remedy for a well-known cause; empty for others."""
    return next((remedy for pattern, remedy in _REMEDIES if re.search(pattern, cause)), "")


def _continued(lines: list[str]) -> list[str]:
    """The indented lines that some exceptions' messages go on with."""
    taken = []
    for line in lines[:6]:
        if not line.startswith("  ") or line.lstrip().startswith(("File ", "For further information")):
            break
        taken.append(line.strip())
    return taken


def _shortened(text: str) -> str:
    text = re.sub(r"\s+", " ", text[:_MOST_LOOKED_AT]).strip()
    text = re.sub(r" ?\[type=\w+, input_value=.*$", "", text)
    text = re.sub(r" For further information visit \S+", "", text)
    kind = _BARE.match(text)
    if kind is not None and kind["name"] in ("ValueError", "RuntimeError", "ValidationError", "Exception"):
        text = text[kind.end() :]
    text = re.sub(r"^\d+ validation errors? for \w+ ", "", text)
    text = text.removeprefix("Value error, ")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _read(log_file: Path, offset: int) -> str:
    """The end of what was written since; at most READ_BYTES."""
    try:
        with log_file.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(offset if offset <= size else 0, size - READ_BYTES))
            return file.read(READ_BYTES).decode(errors="replace")
    except OSError:
        return ""
