"""A session of an exported model."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort

# The fused kernel takes several times as long as an addition and a normalisation: a fifth of a short text's time.
_SLOW_FUSIONS = ["SkipLayerNormFusion"]


def one_thread_session(graph: Path) -> ort.InferenceSession:
    """A session that computes on the thread that calls it."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    return ort.InferenceSession(str(graph), options, providers=providers, disabled_optimizers=_SLOW_FUSIONS)
