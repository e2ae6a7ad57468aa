"""What scrapers get from /metrics: the names as they are, whichever format they ask for."""

from __future__ import annotations

import gzip
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from tests.support.prometheus import Prometheus, prometheus
from trivet.metering.exposition import MetricsListener, exposition
from trivet.metering.metrics import Metrics

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
UNDERSCORES = "application/openmetrics-text;version=1.0.0;escaping=underscores"
TEXT = "text/plain;version=0.0.4"


@pytest.fixture
def registries() -> list[CollectorRegistry]:
    """Trivet's, and two engines' that have the same families."""
    own = CollectorRegistry()
    metrics = Metrics(own)
    metrics.requests.labels("support", "rag", "OK").inc()
    metrics.ttft.labels("support", "rag").observe(0.2, {"trace_id": "4bf92f35"})
    engines = []
    for name in ("one", "two"):
        engine = CollectorRegistry()
        Gauge("vllm:num_requests_running", "Running.", ["model_name"], registry=engine).labels(name).set(3)
        Counter("vllm:prompt_tokens", "Prompt tokens.", ["model_name"], registry=engine).labels(name).inc(7)
        Histogram("vllm:iteration_tokens_total", "A step.", ["model_name"], registry=engine).labels(name).observe(8)
        engines.append(engine)
    return [own, *engines]


@pytest.fixture
def listener(registries: list[CollectorRegistry]) -> Iterator[MetricsListener]:
    listener = MetricsListener("127.0.0.1:0", registries)
    yield listener
    listener.close()


def scrape(listener: MetricsListener, **headers: str) -> tuple[str, str]:
    """Content type and text."""
    request = urllib.request.Request(f"http://{listener.address}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        body = answer.read()
        if answer.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        return answer.headers["Content-Type"], body.decode()


def names(text: str) -> set[str]:
    """Of the samples, as they are written."""
    return {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}


@pytest.mark.parametrize("accept", [PROMETHEUS_2, PROMETHEUS_3, UNDERSCORES, TEXT, "*/*"])
def test_every_scraper_gets_the_names_as_they_are(listener: MetricsListener, accept: str) -> None:
    kind, text = scrape(listener, Accept=accept)
    assert kind.startswith("application/openmetrics-text; version=1.0.0" if "openmetrics" in accept else "text/plain")
    found = names(text)
    assert {"vllm:num_requests_running", "vllm:prompt_tokens_total", "vllm:iteration_tokens_total_bucket"} <= found
    assert not any(name.startswith("vllm_") for name in found)
    assert not any(name.endswith("_created") for name in found)
    assert "# TYPE vllm:num_requests_running gauge" in text
    assert found == names(scrape(listener, Accept=TEXT)[1])


def test_both_formats_are_well_formed_and_say_the_same(listener: MetricsListener) -> None:
    as_openmetrics = list(read_openmetrics(scrape(listener, Accept=PROMETHEUS_2)[1]))
    as_text = list(read_text(scrape(listener, Accept=TEXT)[1]))
    for families in (as_openmetrics, as_text):
        values = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }
        for engine in ("one", "two"):
            assert values["vllm:num_requests_running", ("model_name", engine)] == 3
            assert values["vllm:prompt_tokens_total", ("model_name", engine)] == 7
    assert sum(len(family.samples) for family in as_openmetrics) == sum(len(family.samples) for family in as_text)


def test_exemplars_reach_who_can_read_them(listener: MetricsListener) -> None:
    assert '# {trace_id="4bf92f35"} 0.2' in scrape(listener, Accept=PROMETHEUS_2)[1]
    assert "4bf92f35" not in scrape(listener, Accept=TEXT)[1]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/openmetrics-text;q=0", "text/plain"),
        ("application/openmetrics-text;q=0.1,text/plain;q=0.9", "text/plain"),
        ("application/openmetrics-text;q=lots", "text/plain"),
        ("Application/OpenMetrics-Text; version=99", "application/openmetrics-text"),
        ("", "text/plain"),
        (";;,,;q=,=", "text/plain"),
    ],
)
def test_the_format_follows_the_weights(accept: str, expected: str) -> None:
    kind, _ = exposition(CollectorRegistry(), accept)
    assert kind.startswith(expected)


def test_only_reading_is_answered_and_compression_only_on_demand(listener: MetricsListener) -> None:
    request = urllib.request.Request(f"http://{listener.address}/metrics", data=b"x")
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request, timeout=10)
    assert refusal.value.code == 405
    plain, packed = scrape(listener), scrape(listener, **{"Accept-Encoding": "gzip"})
    assert plain == packed


def test_a_taken_address_is_an_error(listener: MetricsListener) -> None:
    with pytest.raises(OSError, match="in use"):
        MetricsListener(listener.address, [])


def wait_for(server: Prometheus, expression: str) -> list[dict[str, Any]]:
    end = time.monotonic() + 60
    while not (found := server.query(expression)):
        assert time.monotonic() < end, f"no series for {expression}"
        time.sleep(0.1)
    return found


@pytest.mark.process
def test_a_real_prometheus_has_the_names_as_they_are(tmp_path: Path, listener: MetricsListener) -> None:
    config = tmp_path / "prometheus.yml"
    target = f"[{{job_name: trivet, scrape_interval: 1s, static_configs: [{{targets: ['{listener.address}']}}]}}]"
    config.write_text(f"scrape_configs: {target}\n")
    with prometheus(config, tmp_path / "data") as server:
        found = wait_for(server, "vllm:num_requests_running")
        assert {series["metric"]["model_name"] for series in found} == {"one", "two"}
        scraped = {name for name in server.get("label/__name__/values") if name.startswith(("trivet_", "vllm"))}
        assert scraped == names(scrape(listener)[1])
        metadata = server.get("metadata", metric="vllm:num_requests_running")
        assert metadata["vllm:num_requests_running"][0]["type"] == "gauge"
