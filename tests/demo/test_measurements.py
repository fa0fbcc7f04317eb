"""Reading the processes' own metrics."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest

from metarec_stream.demo.measurements import (
    Reading,
    not_ready,
    parse_reading,
    quantile,
    read_consumer,
)
from metarec_stream.demo.processes import free_port
from metarec_stream.metrics import ConsumerMetrics


def busy_consumer() -> str:
    """The metrics page of a consumer that has done something."""
    registry = CollectorRegistry()
    metrics = ConsumerMetrics(registry)
    metrics.events.labels("purchase", "accepted").inc(90)
    metrics.events.labels("cancel", "accepted").inc(5)
    metrics.events.labels("purchase", "duplicate").inc(3)
    metrics.events.labels("other", "rejected").inc(2)
    metrics.lag.labels("0").set(4)
    metrics.lag.labels("1").set(3)
    metrics.meta_version.set(7)
    metrics.prequential_events.inc(80)
    metrics.prequential_hits.labels("model").inc(40)
    metrics.prequential_hits.labels("popularity").inc(10)
    metrics.prequential_reciprocal_rank.labels("model").inc(20)
    metrics.prequential_reciprocal_rank.labels("popularity").inc(4)
    for _ in range(99):
        metrics.latency_seconds.observe(0.035)
    metrics.latency_seconds.observe(0.9)
    return generate_latest(registry).decode()


def test_a_reading_is_what_the_consumer_exports() -> None:
    """The names are those of `ConsumerMetrics`: renaming one there breaks this."""
    reading = parse_reading(busy_consumer())
    assert (reading.accepted, reading.handled, reading.lag) == (95, 100, 7.0)
    assert (reading.meta_version, reading.ranked) == (7, 80)
    assert reading.quality["model"].hit_rate == 0.5
    assert reading.quality["popularity"].hit_rate == 0.125
    assert reading.quality["model"].mrr == 0.25
    assert reading.quality["popularity"].mrr == 0.05
    assert 30.0 < reading.latency_ms(0.5) < 40.0
    assert 30.0 < reading.latency_ms(0.98) < 40.0
    assert 750.0 < reading.latency_ms(0.999) < 1_000.0


def test_a_fresh_consumer_has_no_figures_yet() -> None:
    """No event, no lag known, no latency: nothing divides by zero."""
    reading = parse_reading(generate_latest(CollectorRegistry()).decode())
    assert (reading.accepted, reading.handled, reading.ranked) == (0, 0, 0)
    assert reading.quality["model"].hit_rate == 0.0
    assert math.isnan(reading.latency_ms(0.5))
    assert math.isnan(Reading().latency_ms(0.5))


@given(
    st.lists(st.floats(0.0, 3.0), min_size=1, max_size=200), st.floats(0.01, 1.0, exclude_min=True)
)
def test_a_quantile_is_in_the_bucket_of_the_true_one(seconds: list[float], share: float) -> None:
    """Against the exact order statistic of what was observed."""
    bounds = (0.1, 0.5, 1.0, 4.0)
    registry = CollectorRegistry()
    histogram = Histogram("h", "", buckets=bounds, registry=registry)
    for each in seconds:
        histogram.observe(each)
    samples = next(iter(registry.collect())).samples
    buckets = tuple(
        (float(sample.labels["le"]), sample.value)
        for sample in samples
        if sample.name == "h_bucket"
    )
    true = sorted(seconds)[max(0, math.ceil(share * len(seconds) - 1e-9) - 1)]
    place = int(np.searchsorted(bounds, true))
    estimate = quantile(buckets, share)
    lower = 0.0 if place == 0 else bounds[place - 1]
    assert lower <= estimate <= bounds[place]


def test_a_quantile_beyond_the_last_bound_is_that_bound() -> None:
    """As Prometheus answers it."""
    assert quantile(((0.1, 1.0), (1.0, 2.0), (math.inf, 100.0)), 0.9) == 1.0


class Page(BaseHTTPRequestHandler):
    """A consumer that is not ready, and has metrics."""

    def do_GET(self) -> None:
        ready = self.path == "/readyz"
        body = (
            b'{"ready": false, "reasons": {"kernels": "compiling", "topics": "missing"}}'
            if ready
            else busy_consumer().encode()
        )
        self.send_response(503 if ready else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - overridden
        return


@pytest.fixture
def page() -> Iterator[int]:
    """The port of one that runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_readiness_says_what_is_missing(page: int) -> None:
    """The process's own words while it starts; that it does not answer before."""
    assert not_ready(page) == "compiling; missing"
    assert not_ready(free_port()) == "it does not answer yet"


def test_a_consumer_that_does_not_answer_gives_no_reading(page: int) -> None:
    """So the last one stays on the screen."""
    answered = read_consumer(page)
    assert answered is not None
    assert answered.accepted == 95
    assert read_consumer(free_port()) is None
