"""The configuration is refused whole, with file, line and field."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from trivet.config import Environment, Overrides, checks, load_config
from trivet.errors import ConfigError
from trivet.types.adapter import HubAdapter, RemoteLocation
from trivet.types.variant import (
    CacheScope,
    ConfidenceFloor,
    FewShotSettings,
    OnRetrievalFailure,
    RetrievalSettings,
    StreamPace,
    VersionRef,
)

GOOD = """\
version: 1
server:
  listen: 127.0.0.1:7600
backends:
  local:
    kind: embedded
    model: model
    max_model_len: 2048
indexes:
  facts: facts
routes:
  support:
    cache: tenant
    retrieval:
      deadline_ms: 80
      on_failure: fail
    variants:
      a:
        weight: 3
        backend: local
        prompt: p@1
        adapter: lora@2
        retrieval: {index: facts, top_k: 2}
      b:
        weight: 1
        backend: local
        prompt: p@1
        sampling: {max_tokens: 16}
"""

NO_OVERRIDES = Overrides()
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "prompts" / "p").mkdir(parents=True)
    (tmp_path / "prompts" / "p" / "1.md").write_text("Be kind.")
    (tmp_path / "adapters" / "lora" / "2").mkdir(parents=True)
    (tmp_path / "facts" / "corpus").mkdir(parents=True)
    (tmp_path / "facts" / "index.yaml").write_text("version: 1\n")

    def write_config(text: str) -> Path:
        path = tmp_path / "trivet.yaml"
        path.write_text(text)
        return path

    return write_config


def problems(path: Path, overrides: Overrides = NO_OVERRIDES) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load_config(path, overrides)
    return [line.removeprefix(f"{path}:") for line in refused.value.problems]


def test_a_good_file_becomes_routes(write: Write, tmp_path: Path) -> None:
    config = load_config(write(GOOD))
    route = config.routes["support"]
    assert route.cache is CacheScope.TENANT
    assert route.on_retrieval_failure is OnRetrievalFailure.FAIL
    assert route.retrieval_deadline == 0.08
    assert route.weights == {"a": 3, "b": 1}
    assert route.salt == "support"
    assert route.variants["a"].adapter == VersionRef("lora", "2")
    assert route.variants["a"].retrieval is not None
    assert route.variants["a"].retrieval.top_k == 2
    assert route.variants["b"].retrieval is None
    assert route.variants["b"].sampling.max_tokens == 16
    assert config.data_dir == tmp_path / ".data"
    assert config.indexes["facts"].corpus == tmp_path / "facts" / "corpus"


@pytest.mark.parametrize(
    ("tenants", "said", "expected"),
    [
        ((), "", CacheScope.SHARED),
        (("acme", "acme"), "", CacheScope.SHARED),
        (("acme", "globex"), "", CacheScope.TENANT),
        (("acme", "globex"), "    cache: shared\n", CacheScope.SHARED),
    ],
)
def test_where_there_are_several_tenants_none_shares_a_cache_unless_told_to(
    write: Write, tenants: tuple[str, ...], said: str, expected: CacheScope
) -> None:
    keys = "".join(
        f"  - {{name: k{n}, sha256: '{str(n) * 64}', tenant: {tenant}, role: client}}\n"
        for n, tenant in enumerate(tenants)
    )
    text = GOOD.replace("    cache: tenant\n", said) + (f"keys:\n{keys}" if keys else "")
    assert load_config(write(text)).routes["support"].cache is expected


CASES = {
    "unknown field": ("  listen: 127", "  listne: 127", "3: server.listne: unknown field"),
    "unknown top-level field": ("version: 1", "version: 1\nspeed: 9", "2: speed: unknown field"),
    "wrong type": (
        "weight: 3",
        "weight: heavy",
        "19: routes.support.variants.a.weight: expected a number, got 'heavy'",
    ),
    "number as text": (
        "max_model_len: 2048",
        'max_model_len: "2048"',
        "8: backends.local.max_model_len: expected a whole number, got '2048'",
    ),
    "infinite weight": (
        "weight: 3",
        "weight: .inf",
        "19: routes.support.variants.a.weight: expected a finite number, got inf",
    ),
    "unknown kind": (
        "kind: embedded",
        "kind: imbedded",
        "6: backends.local.kind: expected 'embedded' or 'remote' or 'openai', got 'imbedded'",
    ),
    "key twice": ("      b:\n", "      a:\n", "24: routes.support.variants.a: given twice"),
    "dangling backend": (
        "backend: local",
        "backend: lokal",
        "20: routes.support.variants.a.backend: no backend 'lokal'",
    ),
    "dangling prompt": ("prompt: p@1", "prompt: p@2", "21: routes.support.variants.a.prompt: no file"),
    "prompt without version": (
        "prompt: p@1",
        "prompt: p",
        "21: routes.support.variants.a.prompt: expected name@version, such as support@1, got 'p'",
    ),
    "dangling adapter": ("lora@2", "lora@3", "22: routes.support.variants.a.adapter: lora@3 is in none of the places"),
    "place of adapters that is no place": (
        "indexes:",
        "adapters: [adapters, 'ftp://host']\nindexes:",
        "9: adapters.1: ftp://host is neither a folder nor one of s3://, gs://, az://, abfs://, http://, https://",
    ),
    "driver that is not installed": (
        "indexes:",
        "adapters: [adapters, 'gs://bucket/a']\nindexes:",
        "9: adapters.1: needs gcsfs: install trivet[gs]",
    ),
    "credentials in a place": (
        "indexes:",
        "adapters: [adapters, 'https://me:secret@host/a']\nindexes:",
        "9: adapters.1: https://***@host/a is not a location: expected https://name/path, without credentials",
    ),
    "hub adapter without its version": (
        "indexes:",
        "adapters: [{name: tone, from: 'hub:me/tone'}]\nindexes:",
        "9: adapters.0.version: required field is missing",
    ),
    "hub adapter from nowhere": (
        "indexes:",
        "adapters: [{name: tone, version: '1', from: 'me/tone'}]\nindexes:",
        "9: adapters.0.from: expected hub:organisation/name",
    ),
    "neither place nor hub adapter": (
        "indexes:",
        "adapters: [5]\nindexes:",
        "9: adapters.0: expected a place, or a map",
    ),
    "hub adapter twice": (
        "indexes:",
        "adapters: [adapters, {name: a, version: '1', from: 'hub:me/a'}, {name: a, version: '1', from: 'hub:me/b'}]"
        "\nindexes:",
        "9: adapters.2: a@1 is given twice",
    ),
    "endpoint of no hub": (
        "indexes:",
        "adapter_source: {hub_endpoint: 'http://127.0.0.1:9000'}\nindexes:",
        "9: adapter_source.hub_endpoint: has no effect without a hub: adapter in adapters",
    ),
    "bucket left by its prefix": (
        "indexes:",
        "adapters: [adapters, s3://bucket/a/../../b]\nindexes:",
        "9: adapters.1: s3://bucket/a/../../b is not a location: expected s3://name/path",
    ),
    "place of adapters twice": (
        "indexes:",
        "adapters: [adapters, s3://bucket/a, s3://bucket/a]\nindexes:",
        "9: adapters.2: s3://bucket/a is given twice",
    ),
    "endpoint of no bucket": (
        "indexes:",
        "adapter_source: {endpoint_url: 'http://127.0.0.1:9000'}\nindexes:",
        "9: adapter_source.endpoint_url: has no effect without an s3:// place in adapters",
    ),
    "secrets in the endpoint": (
        "indexes:",
        "adapters: [adapters, s3://bucket]\nadapter_source: {endpoint_url: 'http://me:secret@host'}\nindexes:",
        "10: adapter_source.endpoint_url: expected a URL such as https://host:9000, without credentials",
    ),
    "dangling index": ("index: facts,", "index: fax,", "23: routes.support.variants.a.retrieval.index: no index 'fax'"),
    "missing model": ("model: model", "model: modell", "7: backends.local.model: no model in"),
    "missing index folder": ("facts: facts", "facts: fakts", "10: indexes.facts: no index.yaml in"),
    "port out of range": ("1:7600", "1:76000", "3: server.listen: port 76000, expected 0 to 65535"),
    "answer longer than the context": (
        "max_tokens: 16",
        "max_tokens: 2048",
        "28: routes.support.variants.b.sampling.max_tokens: expected less than max_model_len",
    ),
    "open to others": (
        "127.0.0.1:7600",
        "0.0.0.0:7600",
        "3: server.listen: 0.0.0.0:7600 can be reached from other machines",
    ),
    "price of nothing": (
        "indexes:",
        "prices:\n  lokal: {input_per_million_tokens: 1, cached_per_million_tokens: 1, output_per_million_tokens: 1}\n"
        "indexes:",
        "10: prices.lokal: no backend of that name; known: local",
    ),
    "LoRA setting without LoRA": (
        "    max_model_len: 2048",
        "    enable_lora: false\n    max_loras: 4",
        "9: backends.local.max_loras: has no effect while enable_lora is false",
    ),
    "a quantum without LoRA": (
        "    max_model_len: 2048",
        "    enable_lora: false\n    adapter_quantum_ms: 100",
        "9: backends.local.adapter_quantum_ms: has no effect while enable_lora is false",
    ),
    "a quantum that is less than nothing": (
        "    max_model_len: 2048",
        "    adapter_quantum_ms: -1",
        "8: backends.local.adapter_quantum_ms: ",
    ),
    "no YAML": ("version: 1", "version: [1", "2: not valid YAML"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_with_line_and_field(write: Write, case: str) -> None:
    old, new, expected = CASES[case]
    assert old in GOOD
    found = problems(write(GOOD.replace(old, new, 1)))
    assert [line for line in found if line.startswith(expected)], found


def test_weights_that_are_all_zero(write: Write) -> None:
    found = problems(write(GOOD.replace("weight: 3", "weight: 0").replace("weight: 1", "weight: 0")))
    assert found == ["17: routes.support.variants: all weights are 0, expected at least one above"]


def test_all_problems_are_told_at_once(write: Write) -> None:
    assert len(problems(write(GOOD.replace("backend: local", "backend: x").replace("p@1", "p@9")))) == 4


def test_retrieval_settings_that_would_not_apply(write: Write) -> None:
    text = GOOD.replace("        retrieval: {index: facts, top_k: 2}\n", "")
    assert problems(write(text)) == [
        "14: routes.support.retrieval: has no effect: no variant of this route searches an index"
    ]


def test_a_wrong_index_file_is_named_itself(write: Write, tmp_path: Path) -> None:
    (tmp_path / "facts" / "index.yaml").write_text("version: 1\nchunking:\n  max_tokens: 8\n")
    with pytest.raises(ConfigError, match=r"facts/index\.yaml:3: chunking\.max_tokens: expected at least"):
        load_config(write(GOOD))


def test_insecure_serves_anybody(write: Write) -> None:
    assert load_config(write(GOOD.replace("127.0.0.1:7600", "0.0.0.0:7600")), Overrides(insecure=True))


def test_a_missing_file() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file: name one with --config"):
        load_config(Path("nowhere.yaml"))


def test_overrides_are_checked_like_the_file(write: Write) -> None:
    found = problems(write(GOOD), Overrides(listen="everywhere", origins={"listen": "--listen"}))
    assert found == ["--listen: expected host:port, such as 127.0.0.1:7600, got 'everywhere'"]
    assert load_config(write(GOOD), Overrides(listen="127.0.0.1:0")).file.server.listen == "127.0.0.1:0"


def test_an_unknown_variable_of_the_environment() -> None:
    assert Environment.read({"TRIVET_ADDRESS": "h:1", "HOME": "/"}).address == "h:1"
    with pytest.raises(ConfigError, match=r"TRIVET_ADRESS: unknown variable, did you mean TRIVET_ADDRESS\?"):
        Environment.read({"TRIVET_ADRESS": "h:1"})


SERVICE = """\
TRIVET_SERVICE_HOST=10.0.0.1 TRIVET_SERVICE_PORT=7600 TRIVET_SERVICE_PORT_GRPC=7600 TRIVET_PORT=tcp://10.0.0.1:7600
TRIVET_PORT_7600_TCP=tcp://10.0.0.1:7600 TRIVET_PORT_7600_TCP_PROTO=tcp TRIVET_PORT_7600_TCP_PORT=7600
TRIVET_PORT_7600_TCP_ADDR=10.0.0.1 TRIVET_ADMIN_SERVICE_HOST=10.0.0.2 TRIVET_ADMIN_PORT=tcp://10.0.0.2:7601
TRIVET_ADMIN_PORT_7601_TCP_ADDR=fd00::1
"""


def test_what_kubernetes_sets_for_a_service_called_trivet_is_not_meant_for_us() -> None:
    given = dict(pair.split("=") for pair in SERVICE.split())
    assert Environment.read({**given, "TRIVET_ADDRESS": "h:1"}) == Environment(address="h:1")


@pytest.mark.parametrize("name", ["TRIVET_PORT", "TRIVET_LISTEN_PORT", "TRIVET_HOST", "TRIVET_ADMIN_PORT"])
def test_a_misspelt_variable_is_refused_also_if_kubernetes_has_one_like_it(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: unknown variable"):
        Environment.read({name: "7600"})


SEARCH = "retrieval: {index: facts, top_k: 2}"


def searching(text: str) -> str:
    assert SEARCH in GOOD
    return GOOD.replace(SEARCH, f"retrieval: {{index: facts, top_k: 2, {text}}}")


def test_how_a_variant_searches(write: Write, tmp_path: Path) -> None:
    (tmp_path / "cross").mkdir()
    (tmp_path / "cross" / "config.json").write_text("{}")
    (tmp_path / "facts" / "index.yaml").write_text("version: 1\nrerank: {model: ../cross, candidates: 7}\n")
    (tmp_path / "examples" / "corpus").mkdir(parents=True)
    (tmp_path / "examples" / "index.yaml").write_text("version: 1\n")
    text = searching(
        "tags: [eu], max_per_document: 1, duplicates: keep, min_score: 0.2, rerank: true, "
        "confidence: {below: 0.3, answer: Not in the documents.}, few_shot: {index: examples, k: 2}"
    ).replace("  facts: facts\n", "  facts: facts\n  examples: examples\n")
    config = load_config(write(text))
    assert config.routes["support"].variants["a"].retrieval == RetrievalSettings(
        index="facts",
        top_k=2,
        min_score=0.2,
        tags=("eu",),
        max_per_document=1,
        collapse=False,
        rerank=True,
        confidence=ConfidenceFloor(0.3, "Not in the documents."),
        few_shot=FewShotSettings("examples", 2),
    )
    assert config.indexes["facts"].rerank_model == tmp_path / "cross"
    (tmp_path / "cross" / "config.json").unlink()
    assert "no cross-encoder in" in problems(write(text))[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rerank: true", "23: routes.support.variants.a.retrieval.rerank: index 'facts' has no cross-encoder"),
        ("few_shot: {index: nope}", "23: routes.support.variants.a.retrieval.few_shot.index: no index 'nope'"),
        ("few_shot: {index: facts}", "few_shot.index: the index of the passages, expected one of examples alone"),
        ("few_shot: {index: facts, k: 9}", "few_shot.k: expected at most 8"),
        ('tags: [""]', "retrieval.tags.0: expected text that is not blank, got ''"),
        ("max_per_document: 0", "max_per_document: expected at least 1"),
        ("duplicates: drop", "duplicates: expected 'collapse' or 'keep'"),
        ("confidence: {below: 0.3}", "confidence.answer: required field is missing"),
        ("confidence: {below: 2, answer: x}", "confidence.below: expected at most 1"),
    ],
)
def test_a_search_that_cannot_be_is_refused(write: Write, text: str, problem: str) -> None:
    assert any(problem in line for line in problems(write(searching(text))))


@pytest.mark.parametrize(("answer", "problem"), [("No.", "is not JSON"), ("'[]'", "does not fit")])
def test_the_answer_below_the_floor_fits_the_variants_schema(write: Write, answer: str, problem: str) -> None:
    text = searching(f"confidence: {{below: 0.3, answer: {answer}}}")
    text = text.replace("        adapter: lora@2\n", "        adapter: lora@2\n        json_schema: {type: object}\n")
    (line,) = problems(write(text))
    assert f"confidence.answer: {problem}" in line
    load_config(write(text.replace(f"answer: {answer}", "answer: '{}'")))


S3_PLACES = "adapters: [adapters, s3://models, s3://our.models/a/b-1/]\n"


def test_adapters_from_s3(write: Write, tmp_path: Path) -> None:
    source = "adapter_source: {endpoint_url: https://host:9000/s3, region: eu-central-1, max_bytes: 5, timeout: 1.5}\n"
    config = load_config(write(S3_PLACES + source + GOOD.replace("lora@2", "unseen@1")))
    at = ("https://host:9000/s3", "eu-central-1")
    expected = (tmp_path / "adapters", RemoteLocation("s3://models", *at), RemoteLocation("s3://our.models/a/b-1", *at))
    assert config.adapter_roots == expected
    assert [str(root) for root in expected[1:]] == ["s3://models", "s3://our.models/a/b-1"]


def test_adapters_from_a_hub_and_by_url(write: Write, tmp_path: Path) -> None:
    places = "adapters: [adapters, https://host/a, file:///tmp/b, {name: tone, version: '2', from: 'hub:me/tone@v1'}]\n"
    source = "adapter_source: {hub_endpoint: 'http://hub.example'}\n"
    config = load_config(write(places + source + GOOD.replace("lora@2", "tone@2")))
    hub = HubAdapter(VersionRef("tone", "2"), "me/tone", "v1", "http://hub.example")
    assert config.adapter_roots == (tmp_path / "adapters", RemoteLocation("https://host/a"), Path("/tmp/b"), hub)


def test_s3_without_its_library(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    found = problems(write(S3_PLACES + GOOD))
    assert found == [f"1: adapters.{position}: needs s3fs: install trivet[s3]" for position in (1, 2)]


TLS = "server:\n  tls: {certificate: c.pem, key: k.pem, client_ca: a.pem}\n"


def test_certificates_that_cannot_be_used_are_named(write: Write, tmp_path: Path) -> None:
    for name in ("c.pem", "k.pem", "a.pem"):
        (tmp_path / name).write_text("no certificate")
    found = problems(write(re.sub("server:\n", TLS, GOOD, count=1)))
    assert [problem.partition(" (")[0].partition(" ")[2] for problem in found] == [
        "server.tls: c.pem and k.pem cannot be used",
        "server.tls.client_ca: a.pem cannot be used",
    ]


def test_a_route_paces_its_streams_as_the_file_says_where_it_does_not_say_it_itself(write: Write) -> None:
    routes = load_config(write(GOOD)).routes
    assert routes["support"].stream == StreamPace()
    own = GOOD.replace("routes:\n", "stream: {max_tokens: 8, max_ms: 20.0}\nroutes:\n")
    assert load_config(write(own)).routes["support"].stream == StreamPace(8, 20.0)
    both = own.replace("    cache: tenant\n", "    cache: tenant\n    stream: {max_ms: 0}\n")
    assert load_config(write(both)).routes["support"].stream == StreamPace(8, 0.0)
    for wrong in ("max_tokens: 0", "max_tokens: 1025", "max_ms: -1", "max_ms: 1001"):
        assert "stream" in problems(write(own.replace("max_tokens: 8, max_ms: 20.0", wrong)))[0]
