"""What the settings of one backend's engine contradict, before vLLM is asked."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from trivet.config import schema
from trivet.config.engine_arguments import refused_arguments
from trivet.config.schema import EmbeddedBackend
from trivet.config.yaml_lines import YamlDocument

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
MAX_TEMPLATE_BYTES = 1 << 20
_WITHOUT_DRAFT_MODEL = frozenset({"ngram", "ngram_gpu", "suffix", "mtp"})


def engine_problems(
    document: YamlDocument, at: tuple[str, ...], backend: EmbeddedBackend, folder: Path
) -> Iterator[str]:
    """One line per problem. `at` is the backend's place in the file, `folder` the file's own."""
    yield from model_problems(document, at, backend, folder)
    for path, reason in refused_arguments(backend.engine_args):
        yield document.problem((*at, "engine_args", *path), f"{path[-1]} {reason}")
    yield from _draft_model(document, (*at, "engine_args", "speculative_config"), backend, folder)
    devices = backend.engine_args.get("device_ids")
    if isinstance(devices, list) and len(devices) != _gpus(backend):
        expected = f"expected {_gpus(backend)}, as tensor_parallel_size times pipeline_parallel_size says"
        yield document.problem((*at, "engine_args", "device_ids"), f"names {len(devices)} GPUs, {expected}")


def overcommitted_gpus(backends: Mapping[str, schema.BackendSection]) -> Iterator[str]:
    """One line per GPU of which the backends together would take more than there is."""
    shares: defaultdict[str, float] = defaultdict(float)
    for backend in backends.values():
        if not isinstance(backend, EmbeddedBackend):
            continue
        devices = backend.engine_args.get("device_ids")
        for device in devices if isinstance(devices, list) else range(_gpus(backend)):
            shares[str(device)] += backend.gpu_memory_utilization or 0
    for device, share in shares.items():
        if share > 1 + 1e-9:
            yield (
                f"gpu_memory_utilization adds up to {share:g}, expected at most 1 (GPU {device}; device_ids in "
                "engine_args puts backends on GPUs of their own)"
            )
            return


def model_problems(
    document: YamlDocument, at: tuple[str, ...], backend: schema.BackendSection, folder: Path
) -> Iterator[str]:
    """What is wrong with the places of a backend's model and its chat template."""
    if backend.chat_template is not None:
        yield from _template(document, (*at, "chat_template"), folder / backend.chat_template)
    if backend.on_hub:
        return  # fetched when a server starts
    if "hub_endpoint" in backend.model_fields_set:
        yield document.problem((*at, "hub_endpoint"), "has no effect unless model begins with hub:")
    place = folder / backend.model
    if not (place / "config.json").is_file():
        hint = f"; for a model of the hub write hub:{backend.model}" if _HUB_NAME.fullmatch(backend.model) else ""
        yield document.problem((*at, "model"), f"no model in {place} (expected a config.json){hint}")


def _gpus(backend: EmbeddedBackend) -> int:
    return backend.tensor_parallel_size * backend.pipeline_parallel_size


def _template(document: YamlDocument, at: tuple[str, ...], path: Path) -> Iterator[str]:
    if not path.is_file():
        yield document.problem(at, f"no file {path}, expected a Jinja chat template")
    elif path.stat().st_size > MAX_TEMPLATE_BYTES:
        yield document.problem(at, f"{path} is larger than {MAX_TEMPLATE_BYTES} bytes, expected a Jinja chat template")


def _draft_model(document: YamlDocument, at: tuple[str, ...], backend: EmbeddedBackend, folder: Path) -> Iterator[str]:
    speculative = backend.engine_args.get("speculative_config")
    if not isinstance(speculative, dict):
        return
    model = speculative.get("model")
    if model is None or speculative.get("method") in _WITHOUT_DRAFT_MODEL:
        return
    if not isinstance(model, str) or not (folder / model / "config.json").is_file():
        expected = "expected the local folder of a draft model, with a config.json"
        yield document.problem((*at, "model"), f"no model in {model!r}, {expected}")
