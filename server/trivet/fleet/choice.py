"""Which node gets a request: pure, and the same in gateways and in the simulation.

A node that has the adapter and the prefix is asked first, so that both are computed once; a rendezvous hash decides
between equals, so that gateways which know nothing of each other decide alike and a node that leaves moves its own keys
alone. The bound keeps a hot key from drowning its node: consistent hashing with bounded loads (Mirrokni, Thorup,
Zadimoghaddam, https://arxiv.org/abs/1608.01350), here with what a node has as the first order.
"""

from __future__ import annotations

import hashlib
import math
import sys
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

LOAD_BOUND = 1.25
_Node = TypeVar("_Node")
_REMEMBERED = 1_000_000  # places of nodes, of all keys together: some 100 MB


@dataclass(slots=True)  # not frozen: for each request there is one for each node
class Candidate(Generic[_Node]):
    """A node as it is for one request. `load`: requests that it has. `weight`: how many it takes at once, less while it
    is new. `rank`: of the key's rendezvous hash, 0 is first."""

    node: _Node
    load: float
    weight: float
    resident: bool
    computed: bool
    rank: int


def choose(candidates: Sequence[Candidate[_Node]], bound: float = LOAD_BOUND) -> _Node | None:
    """The first, in order of what it has, that stays within `bound` times its share of all requests; else the one that
    has the least for its weight. None without candidates."""
    if not candidates:
        return None
    share = bound * (sum(one.load for one in candidates) + 1) / (sum(one.weight for one in candidates) or 1)
    within = [one for one in candidates if one.load + 1 <= math.ceil(share * one.weight)]
    if within:
        return min(within, key=_preference).node
    return min(candidates, key=lambda one: ((one.load + 1) / max(one.weight, 1e-9), *_preference(one))).node


def _preference(one: Candidate[_Node]) -> tuple[bool, bool, int]:
    return not one.resident, not one.computed, one.rank


class Ranks:
    """The order of nodes for each key, by rendezvous hashing; remembered, for as long as the nodes are the same."""

    def __init__(self) -> None:
        self._nodes: tuple[str, ...] = ()
        self._known: OrderedDict[bytes, dict[str, int]] = OrderedDict()

    def of(self, key: bytes, nodes: Iterable[str]) -> dict[str, int]:
        """Each node's place for a key, 0 for the first."""
        now = tuple(sorted(nodes))
        if now != self._nodes:
            self._nodes = now
            self._known.clear()
        ranks = self._known.get(key)
        if ranks is None:
            ranks = {node: place for place, node in enumerate(rendezvous(key, now))}
            self._known[key] = ranks
            if len(self._known) * len(now) > _REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return ranks


def rendezvous(key: bytes, nodes: Iterable[str]) -> list[str]:
    """The nodes by their scores for this key, the highest first."""
    return sorted(nodes, key=lambda node: _score(key, node), reverse=True)


def _score(key: bytes, node: str) -> bytes:
    return hashlib.blake2b(node.encode(), key=key[:64], digest_size=8).digest()


def key_of(adapter: str | None, salt: str | None, prefix: Sequence[int]) -> bytes:
    """What a request would find computed: the static prefix, under its adapter and the salt that covers it."""
    tokens = array("I", prefix)
    if sys.byteorder == "big":
        tokens.byteswap()
    return hashlib.blake2b(f"{adapter or ''}\0{salt or ''}\0".encode() + tokens.tobytes(), digest_size=16).digest()
