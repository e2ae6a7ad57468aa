"""vLLM plugin: each tenant's JSON schemas are compiled for that tenant alone.

vLLM 0.32 has one xgrammar compiler for all requests. It keeps whole grammars by the schema's text and, within them,
the masks of every rule by the rule's structure (`RuleLevelCache`), so that a schema that resembles another one compiles
in a fraction of the time: whoever measures that learns what others use, and a mark in the schema's text would not
hide it. So a request that names an owner in its `extra_args` is compiled by a compiler of that owner, with a cache of
its own; requests without one, which carry the operator's schemas, by vLLM's.

Where the engine is another server's, that server's own clients may set arguments too (`vllm_xargs`): texts, numbers and
lists of them. The owner is in a mapping, which they cannot send, and anything else under its name is left alone. So is
every request where vLLM's backend is not xgrammar's.

On a version that it was not checked for nothing is replaced, and `active` says so. vLLM calls `register` in every
process of its own (entry point group `vllm.general_plugins`).
"""

from __future__ import annotations

import copy
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from trivet.vllm_plugin.versions import is_checked

CHECKED_VERSIONS = ("0.32.0",)
_OWNER = "trivet_schema_owner"
ALL_BYTES = 512 << 20  # of all owners' caches together, what vLLM gives its one by default
LEAST_BYTES = 16 << 20  # of one owner's, so that there are few
_MOST_THREADS = 8  # as many as vLLM gives its one
# For one compilation: it leaves half of the cores to the engine's steps and to other tenants' compilations.
_THREADS = min(_MOST_THREADS, max(1, (os.cpu_count() or 1) // 2))

Create = Callable[[Any, Any], Any]


def register() -> None:
    """Put our function in the place of vLLM's, on a version that was checked."""
    if not is_checked(CHECKED_VERSIONS):
        return
    from vllm.v1.structured_output import StructuredOutputManager

    if not active(StructuredOutputManager):
        mend(StructuredOutputManager)


def mend(manager: Any) -> None:
    """Replace the function that compiles in vLLM's class `StructuredOutputManager`."""
    manager._create_grammar = by_owner(manager._create_grammar)


def active(manager: Any) -> bool:
    """Whether vLLM's class has our function."""
    return bool(manager._create_grammar.__module__ == __name__)


def owned_by(owner: str, cache_bytes: int) -> dict[str, Any]:
    """The `extra_args` of a request whose schema is `owner`'s, whose compiler may cache so many bytes."""
    return {_OWNER: {"name": owner, "bytes": cache_bytes}}


def owner_in(extra: Mapping[str, Any]) -> tuple[str, int] | None:
    """What `owned_by` put into a request's `extra_args`; None where there is nothing, or anything else."""
    match extra.get(_OWNER):
        case {"name": str(name), "bytes": int(cache_bytes)} if LEAST_BYTES <= cache_bytes <= ALL_BYTES:
            return name, cache_bytes
    return None


class OwnersBackends:
    """Copies of vLLM's xgrammar backend with a compiler for each owner. Safe to call from several threads.

    The least recently used go, so that all caches together keep within `ALL_BYTES` where all bounds are alike.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, common: Any, owner: str, cache_bytes: int) -> Any:
        """The owner's; `common` is vLLM's own."""
        with self._lock:
            found = self._held.get(owner)
            if found is None:
                found = self._held[owner] = _with_own_compiler(common, cache_bytes)
            self._held.move_to_end(owner)
            while len(self._held) > max(1, ALL_BYTES // cache_bytes):
                self._held.popitem(last=False)
            return found


def by_owner(create: Create) -> Create:
    """Wrap `StructuredOutputManager._create_grammar(self, request)`, which takes nothing but `backend` from `self`."""
    owners = OwnersBackends()

    def _create_grammar(manager: Any, request: Any) -> Any:
        sampling = request.sampling_params
        extra: Mapping[str, Any] = (sampling and sampling.extra_args) or {}
        owner = owner_in(extra)
        if owner is None or not hasattr(manager.backend, "compiler"):
            return create(manager, request)
        return create(SimpleNamespace(backend=owners.find(manager.backend, *owner)), request)

    return _create_grammar


def _with_own_compiler(common: Any, cache_bytes: int) -> Any:
    import xgrammar

    own = copy.copy(common)
    vocabulary = common.compiler.compile_json_schema('{"type":"null"}').tokenizer_info
    own.compiler = xgrammar.GrammarCompiler(
        vocabulary, max_threads=_THREADS, cache_enabled=True, cache_limit_bytes=cache_bytes
    )
    return own
