"""What the running processes say of themselves: their metrics and their readiness, over HTTP."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from metarec_stream.metrics import MODELS

_TIMEOUT_S = 5.0
Samples = Mapping[str, list[tuple[Mapping[str, str], float]]]


@dataclass(frozen=True)
class Quality:
    """Of the events that were ranked before they were learned."""

    hit_rate: float = 0.0
    """Share whose item was among the first 10."""
    mrr: float = 0.0
    """Mean of 1 / rank."""


@dataclass(frozen=True)
class Reading:
    """One look at the consumer."""

    accepted: int = 0
    handled: int = 0
    """Accepted, rejected and duplicate."""
    lag: float = math.inf
    """Records behind the end, over all partitions."""
    meta_version: int = 0
    ranked: int = 0
    """Events ranked before they were learned."""
    quality: Mapping[str, Quality] = field(default_factory=lambda: dict.fromkeys(MODELS, Quality()))
    """By model."""
    latency: tuple[tuple[float, float], ...] = ()
    """Cumulative histogram: upper bound in seconds, recommendations up to it."""

    def latency_ms(self, share: float) -> float:
        """The quantile of event→recommendation, milliseconds; NaN before the first one."""
        return 1_000 * quantile(self.latency, share)

    def latency_ms_since(self, earlier: Reading, share: float) -> float:
        """The same of the recommendations after an earlier look; NaN if there are none."""
        before = dict(earlier.latency)
        since = [(upper, count - before.get(upper, 0.0)) for upper, count in self.latency]
        return 1_000 * quantile(tuple(since), share)


def read_consumer(port: int) -> Reading | None:
    """The consumer's metrics; None if it does not answer just now."""
    text = _get(port, "/metrics")
    return None if text is None else parse_reading(text)


def not_ready(port: int) -> str | None:
    """Why the process is not ready, or None if it is."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=_TIMEOUT_S):
            return None
    except HTTPError as error:
        return _reasons(error.read()) or str(error)
    except (URLError, OSError):
        return "it does not answer yet"


def parse_reading(text: str) -> Reading:
    """A reading from the Prometheus text format."""
    samples = _samples(text)
    ranked = _total(samples, "metarec_prequential_events_total")
    return Reading(
        accepted=int(_total(samples, "metarec_events_total", outcome="accepted")),
        handled=int(_total(samples, "metarec_events_total")),
        lag=_total(samples, "metarec_lag_records"),
        meta_version=int(_total(samples, "metarec_meta_version")),
        ranked=int(ranked),
        quality={model: _quality(samples, model, ranked) for model in MODELS},
        latency=_latency(samples),
    )


def quantile(buckets: tuple[tuple[float, float], ...], share: float) -> float:
    """Quantile of a cumulative histogram, linear within a bucket (Prometheus' own rule).

    In the last, unbounded bucket it is the largest bound; NaN if the histogram is empty.
    """
    if not buckets or buckets[-1][1] == 0:
        return math.nan
    wanted = share * buckets[-1][1]
    lower, below = 0.0, 0.0
    for upper, count in buckets:
        if count >= wanted:
            if math.isinf(upper):
                return lower
            inside = count - below
            return lower + (upper - lower) * ((wanted - below) / inside if inside else 0.0)
        lower, below = upper, count
    return lower


def _quality(samples: Samples, model: str, ranked: float) -> Quality:
    if not ranked:
        return Quality()
    hits = _total(samples, "metarec_prequential_hits_at_10_total", model=model)
    reciprocal = _total(samples, "metarec_prequential_reciprocal_rank_total", model=model)
    return Quality(hits / ranked, reciprocal / ranked)


def _latency(samples: Samples) -> tuple[tuple[float, float], ...]:
    rows = samples.get("metarec_recommendation_latency_seconds_bucket", [])
    return tuple(sorted((float(labels["le"]), count) for labels, count in rows))


def _total(samples: Samples, name: str, **wanted: str) -> float:
    """The sum of a metric over all label values, or over those with the wanted ones."""
    return sum(
        value
        for labels, value in samples.get(name, [])
        if all(labels.get(label) == text for label, text in wanted.items())
    )


def _samples(text: str) -> Samples:
    found: dict[str, list[tuple[Mapping[str, str], float]]] = defaultdict(list)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name].append((sample.labels, sample.value))
    return found


def _reasons(body: bytes) -> str:
    """What `/readyz` says is missing, in words; empty if it says nothing of the kind."""
    try:
        reasons = json.loads(body)["reasons"]
    except (ValueError, KeyError, TypeError):
        return ""
    return "; ".join(str(reason) for reason in reasons.values())


def _get(port: int, path: str) -> str | None:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=_TIMEOUT_S) as answer:
            return str(answer.read().decode())
    except (URLError, OSError):
        return None
