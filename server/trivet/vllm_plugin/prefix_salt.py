"""vLLM plugin: a cache salt that begins after the prompt's static prefix.

vLLM mixes a request's `cache_salt` into the hash of its first KV block, and so into all that follow: requests of two
salts share nothing. The operator's static prefix holds nothing of a tenant's, so its blocks may be shared; what
comes after it must not. A salt written by `salt_after` is mixed into the block that the first token after the prefix
lies in, and from there on, by the chain of hashes, into every later one. vLLM 0.32 computes the keys in
`vllm.v1.core.kv_cache_utils.generate_block_hash_extra_keys`.

Where the engine is another server's, that server's own clients choose salts too. vLLM refuses an `@` in theirs, so that
none can write a salt of ours, or one that ends up as the same key; what is not exactly of our form is left to vLLM.

Without this plugin, or on a version that it was not checked for, vLLM takes the same salt as its own: nothing is
shared then, and nothing is wrong. vLLM calls `register` in every process of its own (entry point group
`vllm.general_plugins`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from trivet.vllm_plugin.versions import is_checked
from trivet.vllm_plugin.wrapping import wrapped_by, wraps

CHECKED_VERSIONS = ("0.32.0",)
_MARK = "@"  # vLLM's check of its clients' salts: `vllm.entrypoints.generate.base.protocol.validate_cache_salt`
_OURS = re.compile(r"@after ([0-9]{1,9}) (.*)", re.DOTALL)

Keys = tuple[tuple[Any, ...] | None, int]


def register() -> None:
    """Put our function in the place of vLLM's, on a version that was checked."""
    if not is_checked(CHECKED_VERSIONS):
        return
    from vllm.v1.core import block_pool, kv_cache_utils

    mend(kv_cache_utils, block_pool)


def mend(*modules: Any) -> None:
    """Replace the function in each of the modules that look it up by name."""
    for module in modules:
        if not active(module):
            theirs = module.generate_block_hash_extra_keys
            module.generate_block_hash_extra_keys = wraps(salted_late(theirs), theirs)


def active(kv_cache_utils: Any) -> bool:
    """Whether vLLM's module has our function."""
    return wrapped_by(kv_cache_utils.generate_block_hash_extra_keys, __name__)


def salt_after(tokens: int, salt: str) -> str:
    """A `cache_salt` for everything but the first `tokens` tokens of a prompt."""
    return f"{_MARK}after {tokens} {salt}"


def salted_late(keys_of: Callable[..., Keys]) -> Callable[..., Keys]:
    """Wrap `generate_block_hash_extra_keys(request, start, end, multimodal)`."""

    def generate_block_hash_extra_keys(request: Any, start: int, end: int, start_mm_idx: int) -> Keys:
        keys, index = keys_of(request, start, end, start_mm_idx)
        salt = request.cache_salt
        ours = None if salt is None else _OURS.fullmatch(salt)
        if ours is None:
            return keys, index
        kept = [key for key in keys or () if key != ("cache_salt", salt)]
        if start <= int(ours[1]) < end:
            kept.append(("cache_salt", _MARK + ours[2]))
        return tuple(kept) or None, index

    return generate_block_hash_extra_keys
