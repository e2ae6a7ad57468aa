"""The network as it is trained: a Llama with the parameter names of the exported folder.

Written out here because training it through the general implementation costs time on a CPU; `export.py` checks that
both give the same logits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config:
    vocabulary: int = 1536
    width: int = 128
    layers: int = 4
    heads: int = 8
    head: int = 32
    feed_forward: int = 352
    theta: float = 1e5
    epsilon: float = 1e-5
    positions: int = 2048


class Norm(nn.Module):  # type: ignore[misc]
    """RMS normalisation with a learned gain."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.epsilon)


class Attention(nn.Module):  # type: ignore[misc]
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        inner = config.heads * config.head
        self.q_proj = nn.Linear(config.width, inner, bias=False)
        self.k_proj = nn.Linear(config.width, inner, bias=False)
        self.v_proj = nn.Linear(config.width, inner, bias=False)
        self.o_proj = nn.Linear(inner, config.width, bias=False)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.config.heads, self.config.head).transpose(1, 2)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        q = _rotate(self._split(self.q_proj(x)), cos, sin)
        k = _rotate(self._split(self.k_proj(x)), cos, sin)
        mixed = F.scaled_dot_product_attention(q, k, self._split(self.v_proj(x)), is_causal=True)
        return self.o_proj(mixed.transpose(1, 2).reshape(x.shape[0], x.shape[1], -1))


class FeedForward(nn.Module):  # type: ignore[misc]
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.feed_forward, bias=False)
        self.up_proj = nn.Linear(config.width, config.feed_forward, bias=False)
        self.down_proj = nn.Linear(config.feed_forward, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):  # type: ignore[misc]
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.input_layernorm = Norm(config.width, config.epsilon)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = Norm(config.width, config.epsilon)
        self.mlp = FeedForward(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Trunk(nn.Module):  # type: ignore[misc]
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = Norm(config.width, config.epsilon)


class Network(nn.Module):  # type: ignore[misc]
    """Token ids to logits; the output matrix is the embedding."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        cos, sin = _angles(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def hidden(self, ids: Tensor) -> Tensor:
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, cos, sin)
        return self.model.norm(x)

    def forward(self, ids: Tensor) -> Tensor:
        return F.linear(self.hidden(ids), self.model.embed_tokens.weight)

    def loss(self, ids: Tensor, weights: Tensor) -> Tensor:
        """The summed cross-entropy of each next token times the weight of that token."""
        logits = self.forward(ids[:, :-1])
        each = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1), reduction="none")
        return (each * weights[:, 1:].reshape(-1)).sum()


def _angles(config: Config) -> tuple[Tensor, Tensor]:
    frequencies = config.theta ** (-torch.arange(0, config.head, 2, dtype=torch.float64) / config.head)
    angles = torch.outer(torch.arange(config.positions, dtype=torch.float64), frequencies)
    both = torch.cat((angles, angles), dim=-1)
    return both.cos().float(), both.sin().float()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-high, low), dim=-1) * sin
