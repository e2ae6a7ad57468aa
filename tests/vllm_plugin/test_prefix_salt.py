"""Which blocks a salt is in, and what becomes of salts that the clients of a vLLM server choose."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.engine.later import Later
from trivet.vllm_plugin.prefix_salt import salt_after, salted_late

protocol = Later("vllm.entrypoints.generate.base.protocol")
BLOCK = 4
Keys = list[tuple[Any, ...] | None]


def theirs(request: Any, start: int, _end: int, index: int) -> Any:
    """As vLLM's own: the salt is in the first block."""
    return ((("cache_salt", request.cache_salt),) if start == 0 and request.cache_salt else None), index


def keys(salt: str | None, of: Any = None) -> Keys:
    """Of three blocks."""
    request = SimpleNamespace(cache_salt=salt)
    return [(of or salted_late(theirs))(request, at, at + BLOCK, 0)[0] for at in range(0, 3 * BLOCK, BLOCK)]


@pytest.mark.parametrize("salt", ["a tenant", "two\nlines", ""])
def test_the_salt_is_in_the_block_where_the_prefix_ends(salt: str) -> None:
    own = (("cache_salt", f"@{salt}"),)
    assert keys(salt_after(0, salt)) == [own, None, None]
    assert keys(salt_after(BLOCK + 1, salt)) == [None, own, None]
    assert keys(salt_after(9 * BLOCK, salt)) == [None, None, None]


@pytest.mark.parametrize(
    "salt",
    [None, "", "acme", "after x", "after 4 acme", "@after x acme", "@after", "@after -1 a", f"@after {'9' * 5000} a"],
)
def test_any_other_salt_is_vllms_own(salt: str | None) -> None:
    assert keys(salt) == keys(salt, theirs)


@pytest.mark.process  # it imports vLLM
def test_no_client_of_a_servers_own_can_write_a_tenants() -> None:
    assert keys("acme")[0] != keys(salt_after(0, "acme"))[0]
    with pytest.raises(Exception, match="must not contain '@'"):
        protocol.validate_cache_salt(salt_after(0, "acme"))
