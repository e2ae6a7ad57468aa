"""Which compiler a schema goes to; the compilers are xgrammar's own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.engine.later import Later
from trivet.vllm_plugin import tenant_grammars
from trivet.vllm_plugin.tenant_grammars import OwnersBackends, active, by_owner, owned_by

xgrammar = Later("xgrammar")  # imports PyTorch

MIB = 1 << 20
BYTES = tenant_grammars.LEAST_BYTES


@pytest.fixture
def common() -> Any:
    """As much of vLLM's backend as the plugin touches."""
    vocabulary = xgrammar.TokenizerInfo([*map(chr, range(32, 127)), "</s>"], stop_token_ids=[95])
    return SimpleNamespace(compiler=xgrammar.GrammarCompiler(vocabulary, max_threads=1), vocab_size=96)


def compiled_by(backend: Any, extra: dict[str, Any] | None, create: Any = None) -> Any:
    """The backend that a request's schema is compiled with."""
    create = create or by_owner(lambda manager, _request: manager.backend)
    sampling = None if extra is None else SimpleNamespace(extra_args=extra)
    return create(SimpleNamespace(backend=backend), SimpleNamespace(sampling_params=sampling))


def test_a_request_without_an_owner_has_vllms_own(common: Any) -> None:
    for extra in (None, {}, {"another": "argument"}):
        assert compiled_by(common, extra) is common


def test_each_owner_has_a_compiler_and_keeps_it(common: Any) -> None:
    create = by_owner(lambda manager, _request: manager.backend)
    one, two, again = (compiled_by(common, owned_by(name, BYTES), create) for name in ("one", "two", "one"))
    assert one is again
    assert len({id(backend.compiler) for backend in (common, one, two)}) == 3
    assert one.vocab_size == common.vocab_size
    assert one.compiler.cache_limit_bytes == BYTES


NO_OWNERS: tuple[Any, ...] = (
    "acme",
    1,
    ["acme", BYTES],
    {"name": "acme"},
    {"name": 1, "bytes": BYTES},
    *({"name": "acme", "bytes": size} for size in (1, 0, -1, "1", 1 << 40)),
)


@pytest.mark.parametrize("owner", NO_OWNERS)
def test_what_a_servers_own_client_sends_in_its_place_is_no_owner(common: Any, owner: Any) -> None:
    assert compiled_by(common, {**owned_by("acme", BYTES), "trivet_schema_owner": owner}) is common
    assert compiled_by(common, {"trivet_schema_owner": owner, "trivet_schema_bytes": 1}) is common


def test_another_library_than_xgrammar_compiles_for_all() -> None:
    guidance = SimpleNamespace(vocab_size=96)
    assert compiled_by(guidance, owned_by("acme", BYTES)) is guidance


def test_nothing_that_one_compiles_is_in_anothers_cache(common: Any) -> None:
    owners = OwnersBackends()
    one, two = (owners.find(common, name, MIB) for name in ("one", "two"))
    before = two.compiler.get_cache_size_bytes(), common.compiler.get_cache_size_bytes()
    one.compiler.compile_json_schema('{"type":"object","properties":{"secret":{"type":"integer"}}}')
    assert one.compiler.get_cache_size_bytes() > 0
    assert (two.compiler.get_cache_size_bytes(), common.compiler.get_cache_size_bytes()) == before


def test_all_caches_together_are_bounded(common: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_grammars, "ALL_BYTES", 3 * MIB)
    owners = OwnersBackends()
    first = owners.find(common, "a", MIB)
    for name in "bcad":  # "a" is used again, so "b" goes
        owners.find(common, name, MIB)
    assert list(owners._held) == ["c", "a", "d"]
    assert owners.find(common, "a", MIB) is first


def test_it_is_known_whether_it_is_in_its_place() -> None:
    class Manager:
        """As vLLM's."""

        def _create_grammar(self, request: Any) -> Any:
            return request

    assert not active(Manager)
    tenant_grammars.mend(Manager)
    assert active(Manager)
