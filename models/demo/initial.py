"""An initialisation that starts as an induction circuit.

A network this small takes most of its training to discover how to look back: to a previous token, then to where the
current token stood before. Here these heads exist from the first step (gain at equal tokens: by far the largest of all
that was tried) and training only has to sharpen them.

The trick is rotary phase. One channel of the embedding is constant, so a head whose query and key read only that
channel scores pairs of positions by their distance alone: sum over frequencies of a_p cos(f_p (distance - wanted)).
Content is matched in the slow frequencies, which hardly turn within a prompt.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from network import Config, Network

EMBEDDING_STD = 0.07
CONSTANT = 0.5  # value of the constant channel, the last one
SLOW = 6  # rotary pairs from here on turn by less than .02 a token
CONTENT = 63  # dimensions that the embeddings start in; the others are for what heads tell each other

NEAR = (14.0, 12.0, 9.0, 6.0, 4.0, 3.0, 2.0, 1.0)  # a_p of a head that looks exactly `wanted` tokens back
WINDOW_SHORT = (0.0, 0.0, 1.5, 2.0, 2.0, 1.5, 1.0, 1.0)  # about ten tokens
WINDOW_LONG = (0.0, 0.0, 0.0, 1.5, 2.0, 2.0, 1.5, 1.0)  # about twenty
FOLLOW, ALIKE = 3.0, 2.0  # sharpness of the two kinds of match


class _Builder:
    """Writes heads into a network; `content` and `notes` are the subspaces of tokens and of notes about others."""

    def __init__(self, network: Network, seed: int) -> None:
        self.network = network
        self.config: Config = network.config
        self.generator = torch.Generator().manual_seed(seed)
        width = self.config.width
        basis = torch.zeros(width - 1, width)
        basis[:, :-1] = torch.linalg.qr(torch.randn(width - 1, width - 1, generator=self.generator)).Q
        self.content, self.notes = basis[:CONTENT], basis[CONTENT:]

    def rows(self, layer: int, projection: str, head: int) -> Tensor:
        """The rows of q, k or v, or the columns of o, that belong to a head."""
        attention = self.network.model.layers[layer].self_attn
        weight: Tensor = getattr(attention, f"{projection}_proj").weight.data
        span = slice(head * self.config.head, (head + 1) * self.config.head)
        return weight[:, span].T if projection == "o" else weight[span]

    def positional(self, layer: int, head: int, strengths: tuple[float, ...], wanted: float) -> None:
        """Query and key from the constant channel alone, so that the score depends on the distance alone."""
        half = self.config.head // 2
        q, k = self.rows(layer, "q", head), self.rows(layer, "k", head)
        q.zero_()
        k.zero_()
        share = math.sqrt(self.config.width) * CONSTANT / math.sqrt(CONSTANT**2 + CONTENT * EMBEDDING_STD**2)
        for pair, strength in enumerate(strengths):
            size = math.sqrt(strength * math.sqrt(self.config.head)) / share
            phase = wanted * self.config.theta ** (-2 * pair / self.config.head)
            q[pair, -1], q[pair + half, -1] = size * math.cos(phase), -size * math.sin(phase)
            k[pair, -1] = size

    def note(self, layer: int, head: int, read: Tensor, write: Tensor, gain: float) -> None:
        """Value and output: copy what `read` sees to where `write` points (rows of directions, as many of each)."""
        v, o = self.rows(layer, "v", head), self.rows(layer, "o", head)
        o.zero_()
        v[: len(read)] = read
        o[: len(read)] = write * gain

    def match(self, layer: int, head: int, query: Tensor, key: Tensor, sharpness: float) -> None:
        """Score by the content that `query` and `key` (rows of directions) read, in the slow frequencies."""
        half = self.config.head // 2
        slots = [*range(SLOW, half), *range(half + SLOW, self.config.head)]
        q, k = self.rows(layer, "q", head), self.rows(layer, "k", head)
        q.zero_()
        k.zero_()
        q[slots] = query[: len(slots)] * sharpness
        k[slots] = key[: len(slots)] * sharpness

    def copy(self, layer: int, head: int, half: int, gain: float) -> None:
        """What is attended to is written back as itself, which the tied output reads as a token; half of it a head."""
        span = self.content[: self.config.head] if half == 0 else self.content[-self.config.head :]
        self.note(layer, head, span, span, gain)

    def free(self, layer: int, head: int) -> None:
        """A head without a task: attends to its like and copies a little of it."""
        directions = self.content[torch.randperm(len(self.content), generator=self.generator)[: self.config.head]]
        self.match(layer, head, directions, directions, 0.5)
        self.copy(layer, head, head % 2, 0.02)


@torch.no_grad()  # type: ignore[untyped-decorator]
def initialise(network: Network, seed: int) -> None:
    """Plain small noise everywhere, then the heads described above over it."""
    build = _Builder(network, seed)
    for name, weight in network.named_parameters():
        if weight.dim() == 2:
            weight.normal_(0.0, 0.002 if "mlp.down" in name else 0.06, generator=build.generator)
    embedding = network.model.embed_tokens.weight
    tokens = torch.randn(len(embedding), CONTENT, generator=build.generator) * EMBEDDING_STD
    embedding.copy_(tokens @ build.content)
    embedding[:, -1] = CONSTANT
    network.model.norm.weight.fill_(1.5)
    network.model.norm.weight[-1] = 0.0
    _first_layer(build)
    for layer in range(1, network.config.layers):
        _later_layer(build, layer)


def _first_layer(build: _Builder) -> None:
    """Notes of the previous token (two heads, so as to tell more tokens apart) and of the last ten and twenty."""
    content, notes = build.content, build.notes
    for head, (strengths, wanted, read, write, gain) in enumerate((
        (NEAR, 1.0, content[:20], notes[:20], 0.12), (NEAR, 1.0, content[20:40], notes[20:40], 0.12),
        (WINDOW_SHORT, 3.0, content[40:60], notes[40:60], 0.2), (WINDOW_LONG, 5.0, content[40:60], notes[40:60], 0.2),
        (NEAR, 2.0, content[:4], notes[60:], 0.05),
    )):  # fmt: skip
        build.positional(0, head, strengths, wanted)
        build.note(0, head, read, write, gain)
    for head in range(5, build.config.heads):
        build.free(0, head)


def _later_layer(build: _Builder, layer: int) -> None:
    """Odd layers continue what followed the current token before, even ones look where the surroundings are alike."""
    content, notes = build.content, build.notes
    if layer % 2:
        for head, part in enumerate((slice(0, 20), slice(20, 40))):
            build.match(layer, head, content[part], notes[part], FOLLOW)
            build.copy(layer, head, head, 0.25)
        build.positional(layer, 2, WINDOW_SHORT, 4.0)
        build.note(layer, 2, content[40:60], notes[40:60], 0.05)
    else:
        for head in (0, 1):
            build.match(layer, head, notes[40:60], notes[40:60], ALIKE)
            build.copy(layer, head, head, 0.1)
        build.positional(layer, 2, NEAR, 1.0)
        build.note(layer, 2, content[:20], notes[:20], 0.05)
    for head in range(3, build.config.heads):
        build.free(layer, head)
    if layer == build.config.layers - 1:  # the tied output would repeat the current token: take it out
        for head in (6, 7):
            build.positional(layer, head, NEAR, 0.0)
            build.copy(layer, head, head - 6, -0.12)
