"""Prequential metrics of the service: the model beside popularity, on the same events."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.features import POPULARITY_HALF_LIVES
from metarec_stream.pipeline.results import Observations

_HIT_AT = 10
_HALF_LIFE = 2_048.0
"""Events after which an event counts half in the calibration error."""


def middle_ranks(greater: NDArray[np.int32], equal: NDArray[np.int32]) -> NDArray[np.float64]:
    """Rank among ties in the middle: 1 + greater + (equal - 1) / 2."""
    return 1.0 + greater + (equal - 1) / 2.0


class PrequentialMetrics:
    """Counts hits and reciprocal ranks; popularity is that of the half-life best so far."""

    def __init__(self, metrics: ConsumerMetrics) -> None:
        self._metrics = metrics
        self._reciprocal = np.zeros(len(POPULARITY_HALF_LIVES))
        self._recent = np.zeros(3)
        """Of the latest events: how many, their expected hits, their hits."""

    def count(self, seen: Observations) -> None:
        """Add a batch's observations; an item that was no candidate is a miss."""
        if len(seen) == 0:
            return
        self._metrics.prequential_events.inc(len(seen))
        candidate = seen.candidate
        hits = self._add("model", middle_ranks(seen.greater[candidate], seen.equal[candidate]))
        self._compare(len(seen), float(seen.expected.sum()), hits)
        ranks = middle_ranks(seen.popularity_greater[candidate], seen.popularity_equal[candidate])
        best = int(np.argmax(self._reciprocal))
        self._add("popularity", ranks[:, best])
        self._reciprocal += (1.0 / ranks).sum(axis=0)

    def _add(self, model: str, ranks: NDArray[np.float64]) -> int:
        hits = int((ranks <= _HIT_AT).sum())
        self._metrics.prequential_hits.labels(model).inc(hits)
        self._metrics.prequential_reciprocal_rank.labels(model).inc(float((1.0 / ranks).sum()))
        return hits

    def _compare(self, events: int, expected: float, hits: int) -> None:
        """Of the first ten: the mean of their probability beside their hit rate."""
        self._metrics.prequential_expected_hits.inc(expected)
        self._recent = self._recent * 0.5 ** (events / _HALF_LIFE) + (events, expected, hits)
        count, expected_lately, hits_lately = self._recent.tolist()
        self._metrics.calibration_error.set(abs(expected_lately - hits_lately) / count)
